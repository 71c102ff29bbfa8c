"""Writes the Parquet files of tests/files. Run by hand: pip install pyarrow==21.0.0; python rows.py ../files"""

import datetime as dt
import decimal
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])
texts = [
    "Offer Zorvex 250 mg twice a day to adults with a confirmed infection.",
    "Halve the dose if the clearance of creatinine is below 30 ml/min.",
    None,
    "Do not give Zorvex below 12 years of age.\r\nGrowing joints may be harmed.",
]
rows = pa.table(
    {
        "id": pa.array([11, 12, 13, 14], pa.int64()),
        "title": ["First line", "Kidneys", "Pregnancy", "Children"],
        "text": texts,
        "date": pa.array([dt.date(2024, 5, 1), dt.date(1969, 12, 31), None, dt.date(2024, 6, 15)]),
        "seen": pa.array([dt.datetime(2024, 5, 1, 10, 30), None, None, dt.datetime(1960, 1, 1)], pa.timestamp("us", tz="UTC")),
        "local": pa.array([dt.datetime(2024, 5, 1, 10, 30, 0, 250000), None, None, None], pa.timestamp("ns")),
        "time": pa.array([dt.time(7, 5), None, None, None], pa.time64("us")),
        "price": pa.array([decimal.Decimal("12.50"), decimal.Decimal("-0.05"), None, None], pa.decimal128(9, 2)),
        "score": pa.array([0.1, 1e300, None, float("nan")], pa.float64()),
        "half": pa.array([0.5, 1, 2, 3], pa.float32()),
        "count": pa.array([2**63, 1, None, 0], pa.uint64()),
        "checked": [True, False, None, True],
        "court": [{"name": "Example Court", "place": {"city": "Sampletown"}}, {"name": None, "place": None}, None, {"name": "Other", "place": None}],
        "keywords": [["infection", "adults"], [], None, ["children", None]],
        "cites": [[{"law": "Sale Act", "section": 14}], [], None, [{"law": 'A "quoted" act', "section": None}, {"law": None, "section": 2}]],
        "matrix": [[[1, 2], []], None, [], [[3], None]],
        "doses": pa.array([[("adults", 250), ("children", None)], [], None, None], pa.map_(pa.string(), pa.int32())),
        "picture": pa.array([b"\x89PNG\xff", None, None, b"\xff\xfe"], pa.binary()),
    }
)
pq.write_table(rows, folder / "rows.parquet", compression="zstd", row_group_size=3, store_schema=False)
doses = pa.table({"drug": ["Zorvex", "Kalmin"], "mg": pa.array([250, 5], pa.int16()), "per day": [2, 1]})
pq.write_table(doses, folder / "doses.parquet", compression="snappy", store_schema=False)
small = rows.select(["id", "text", "keywords"]).slice(0, 2)
for codec in ["none", "gzip", "lz4"]:
    for version in ["1.0", "2.0"]:
        name = f"{codec}{version[0]}.parquet"
        pq.write_table(small, folder / name, compression=codec, data_page_version=version, store_schema=False, column_encoding=None)
delta = {"id": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"}
pq.write_table(small.select(["id", "text"]), folder / "delta.parquet", use_dictionary=False, column_encoding=delta, store_schema=False)
many = pa.table({"text": [f"Paragraph {n} of the example act." for n in range(30)], "sections": [list(range(n % 4)) for n in range(30)]})
for version in ["1.0", "2.0"]:
    pages = {"data_page_version": version, "data_page_size": 16, "write_batch_size": 4, "use_dictionary": ["text"], "compression": "gzip"}
    pq.write_table(many, folder / f"pages{version[0]}.parquet", store_schema=False, **pages)
whole = (folder / "rows.parquet").read_bytes()
(folder / "cut.parquet").write_bytes(whole[:3000])
(folder / "liar.parquet").write_bytes(whole[:-8] + (2**31).to_bytes(4, "little") + b"PAR1")
pq.write_table(small, folder / "brotli.parquet", compression="brotli", store_schema=False)
