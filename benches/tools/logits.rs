//! The logits of a model for given token ids, without memories, written to a file that other programs' logits are compared with.
//!
//!     cargo run --release -p mempack-benches --bin logits -- FOLDER OUT.safetensors [ID...]
//!
//! FOLDER is a Hugging Face folder or an adapter, whose base is named by MEMPACK_BASE or its adapter_config.json. The file holds `ids`
//! (the token that begins a text, then the ids given) and `logits`, `[ids, vocabulary]`, computed in f32.

use std::error::Error;
use std::path::PathBuf;

use mempack_model::{DeviceChoice, LoadOptions, Model, ReaderOptions};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(out)) = (args.next(), args.next()) else { return Err("usage: logits FOLDER OUT.safetensors [ID...]".into()) };
    let given: Vec<u32> = args.map(|id| id.parse()).collect::<Result<_, _>>()?;
    let given = if given.is_empty() { (300..700).step_by(41).collect() } else { given };
    let base = std::env::var_os("MEMPACK_BASE").map(PathBuf::from);
    let model = Model::load(folder.as_ref(), &LoadOptions { device: DeviceChoice::Cpu, base, ..LoadOptions::default() })?;
    let mut reader = model.reader(&ReaderOptions { capacity: 1 + given.len(), prefix: false })?;
    let logits: Vec<u8> = reader.prompt(&given, &[], true)?.into_iter().flat_map(f32::to_le_bytes).collect();
    let ids: Vec<u8> = [model.config().bos].iter().chain(&given).flat_map(|id| i64::from(*id).to_le_bytes()).collect();
    let rows = 1 + given.len();
    let tensors = [
        ("ids", TensorView::new(Dtype::I64, vec![rows], &ids)?),
        ("logits", TensorView::new(Dtype::F32, vec![rows, model.config().vocabulary as usize], &logits)?),
    ];
    safetensors::serialize_to_file(tensors, None, out.as_ref())?;
    println!("{out}: logits of {rows} ids");
    Ok(())
}
