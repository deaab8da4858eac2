//! Changes that keep JSON what it is: without them nearly every change of a draft, a record or a line is refused at once.

use mailjournal::sample::random::Random;
use serde_json::{Value, json};

use super::{BETWEEN, parts};

/// The input with one value of one of its parts (or of one of a part's lines) replaced, doubled or taken out; none where
/// what was picked is no JSON.
pub fn changed(input: &[u8], seed: u64) -> Option<Vec<u8>> {
    let mut random = Random::new(seed, 0);
    let mut parts: Vec<Vec<u8>> = parts(input).into_iter().map(<[u8]>::to_vec).collect();
    let index = random.below(parts.len());
    if random.chance(100) {
        let other = random.below(parts.len());
        parts.swap(index, other);
    }
    parts[index] = match changed_value(&parts[index], &mut random) {
        Some(part) => part,
        None => {
            let mut lines: Vec<Vec<u8>> = parts[index].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let line = random.below(lines.len());
            lines[line] = changed_value(&lines[line], &mut random)?;
            lines.join(&b'\n')
        }
    };
    Some(parts.join(BETWEEN))
}

fn changed_value(text: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut root: Value = serde_json::from_slice(text).ok()?;
    let mut pointers = Vec::new();
    gather(&root, String::new(), &mut pointers);
    for _ in 0..random.between(1, 4) {
        let another = random.pick(&pointers).clone();
        let another = root.pointer(&another).cloned().unwrap_or_default();
        let place = random.pick(&pointers).clone();
        let Some(target) = root.pointer_mut(&place) else { continue };
        change(target, another, random);
    }
    serde_json::to_vec(&root).ok()
}

fn gather(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| gather(item, format!("{pointer}/{index}"), pointers));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            gather(field, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), pointers);
        }),
        _ => {}
    }
    pointers.push(pointer);
}

fn change(target: &mut Value, another: Value, random: &mut Random) {
    const TEXTS: [&str; 12] = [
        "",
        " ",
        "a",
        "<>",
        "<a@b>",
        "<a@b>#0102030405060708",
        "a@x.example",
        "\r\n.\r\n",
        "=?",
        "\u{0}",
        "\u{20ac}",
        "list@x.example",
    ];
    const NUMBERS: [i64; 10] = [0, 1, -1, 2, 60_000, 1 << 31, (1 << 31) - 1, -(1 << 31), i64::MAX, i64::MIN];
    match (target, random.below(4)) {
        (Value::Array(items), 0) if !items.is_empty() => drop(items.remove(random.below(items.len()))),
        (Value::Array(items), 1) if !items.is_empty() => items.push(items[random.below(items.len())].clone()),
        (Value::Array(items), 2) => items.reverse(),
        (target @ Value::Number(_), 0..3) => *target = json!(random.pick(&NUMBERS)),
        (Value::Bool(truth), 0..3) => *truth = !*truth,
        (Value::String(text), 0) => *text = TEXTS[random.below(TEXTS.len())].to_owned(),
        (Value::String(text), 1) => text.push_str(TEXTS[random.below(TEXTS.len())]),
        (Value::String(text), 2) => {
            // Another letter of the same kind keeps hex hex and words words.
            let at = random.below(text.chars().count());
            *text = text
                .chars()
                .enumerate()
                .map(|(index, letter)| if index == at { other(letter) } else { letter })
                .collect();
        }
        (target, 3) if random.chance(300) => *target = Value::Null,
        (target, _) => *target = another,
    }
}

fn other(letter: char) -> char {
    match letter {
        '0'..='9' => char::from(b'0' + b'9' - letter as u8),
        'a'..='f' => char::from(b'a' + b'f' - letter as u8),
        'g'..='z' => letter.to_ascii_uppercase(),
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '+',
    }
}
