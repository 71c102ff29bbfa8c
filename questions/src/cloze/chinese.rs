//! Gaps and questions in Chinese.

use super::{Gap, GapKind, Gapped};

/// Wordings of a sentence with a gap.
pub(super) const WORDINGS: [&str; 12] = [
    "填空：{blanked}",
    "请补全这句话：{blanked}",
    "根据《{title}》，下句空白处应填什么？{blanked}",
    "《{title}》中写道：“{blanked}”空缺的内容是什么？",
    "“{blanked}”缺少的是什么？",
    "下面的句子缺了一部分，是哪一部分？{blanked}",
    "请写出空格处的原文：{blanked}",
    "{blanked} 空格里应当是什么？",
    "《{title}》规定：{blanked} 请问空白处是什么？",
    "这句话中被略去的内容是什么：{blanked}",
    "依照《{title}》，请填写空白：{blanked}",
    "读一读，把空缺补上：{blanked}",
];

const DIGITS: &str = "〇零一二三四五六七八九十百千万亿两0123456789０１２３４５６７８９.";

/// Units after a number. A unit comes before those that are a prefix of it.
const UNITS: [&str; 26] = [
    "个工作日",
    "个自然日",
    "个月",
    "小时",
    "分钟",
    "周岁",
    "工作日",
    "万元",
    "亿元",
    "平方米",
    "公里",
    "千克",
    "毫升",
    "毫克",
    "年",
    "日",
    "天",
    "元",
    "倍",
    "人",
    "岁",
    "次",
    "米",
    "吨",
    "份",
    "％",
];

/// Names of authorities. A name comes before those that are a part of it.
const BODIES: [&str; 20] = [
    "县级以上地方人民政府",
    "国务院有关部门",
    "最高人民法院",
    "最高人民检察院",
    "县级以上人民政府",
    "人民检察院",
    "人民法院",
    "公安机关",
    "监察机关",
    "国务院",
    "股东会",
    "董事会",
    "监事会",
    "业主大会",
    "居民委员会",
    "村民委员会",
    "仲裁委员会",
    "行政机关",
    "登记机构",
    "公证机构",
];

pub(super) fn gaps(sentence: &str) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut at = 0;
    while let Some(c) = sentence[at..].chars().next() {
        if DIGITS.contains(c) && c != '.' {
            let length: usize = sentence[at..].chars().take_while(|c| DIGITS.contains(*c)).map(char::len_utf8).sum();
            let unit = at + length;
            // An ordinal refers to another article.
            let ordinal = sentence[..at].ends_with('第');
            if let Some(name) = UNITS.iter().find(|name| sentence[unit..].starts_with(**name)).filter(|_| !ordinal) {
                gaps.push(Gap { start: at, end: unit + name.len(), kind: GapKind::Quantity { unit } });
            }
            at = unit;
            continue;
        }
        for (open, close) in [('《', '》'), ('“', '”')] {
            if c != open {
                continue;
            }
            let start = at + open.len_utf8();
            if let Some(length) = sentence[start..].find(close).filter(|length| *length > 3) {
                gaps.push(Gap { start, end: start + length, kind: GapKind::Name });
            }
        }
        let body = BODIES.iter().find(|body| sentence[at..].starts_with(**body));
        if let Some(body) = body {
            gaps.push(Gap { start: at, end: at + body.len(), kind: GapKind::Term });
        }
        at += body.map_or(c.len_utf8(), |body| body.len());
    }
    gaps
}

/// A question with an interrogative in place of the gap, as Chinese allows: for a quantity, and for an authority at the start.
pub(super) fn real_question(gapped: &Gapped<'_>) -> Option<String> {
    let asked = match gapped.gap.kind {
        GapKind::Quantity { unit } => format!("多少{}", gapped.sentence.get(unit..gapped.gap.end)?),
        GapKind::Term if gapped.gap.start == 0 => "哪个机关或者组织".to_owned(),
        _ => return None,
    };
    let question = gapped.with(&asked);
    let question = question.trim_end_matches(['。', '！', '？']);
    Some(if gapped.title.is_empty() { format!("{question}？") } else { format!("根据《{}》，{question}？", gapped.title) })
}
