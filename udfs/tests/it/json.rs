//! Just enough JSON to read the file of degenerate inputs.

use std::collections::BTreeMap;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub(crate) fn parse(text: &str) -> Self {
        let mut chars = text.chars().peekable();
        value(&mut chars)
    }

    pub(crate) fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(fields) => fields.get(key).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }

    pub(crate) fn list(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&String, &Self)> {
        if let Self::Object(fields) = self { Some(fields.iter()) } else { None }.into_iter().flatten()
    }

    /// A number, also written as text ("inf", "NaN"); `None` for null.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(*x),
            Self::Text(text) => Some(text.parse().unwrap()),
            _ => None,
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn value(chars: &mut Chars<'_>) -> Json {
    blanks(chars);
    match chars.next().unwrap() {
        '{' => Json::Object(
            items(chars, '}', |chars| {
                let Json::Text(key) = value(chars) else { panic!("key") };
                blanks(chars);
                assert_eq!(chars.next(), Some(':'));
                (key, value(chars))
            })
            .into_iter()
            .collect(),
        ),
        '[' => Json::List(items(chars, ']', value)),
        '"' => Json::Text(string(chars)),
        first => {
            let mut word = String::from(first);
            while let Some(c) = chars.next_if(|c| !",]}".contains(*c) && !c.is_whitespace()) {
                word.push(c);
            }
            match word.as_str() {
                "null" => Json::Null,
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                number => Json::Number(number.parse().unwrap()),
            }
        }
    }
}

fn items<T>(chars: &mut Chars<'_>, end: char, item: impl Fn(&mut Chars<'_>) -> T) -> Vec<T> {
    let mut found = vec![];
    loop {
        blanks(chars);
        if chars.next_if_eq(&end).is_some() {
            return found;
        }
        found.push(item(chars));
        blanks(chars);
        let _ = chars.next_if_eq(&',');
    }
}

fn string(chars: &mut Chars<'_>) -> String {
    let mut text = String::new();
    loop {
        match chars.next().unwrap() {
            '"' => return text,
            '\\' => match chars.next().unwrap() {
                'n' => text.push('\n'),
                'u' => {
                    let code: String = (0..4).map(|_| chars.next().unwrap()).collect();
                    text.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap_or('?'));
                }
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

fn blanks(chars: &mut Chars<'_>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

#[test]
fn json_is_read() {
    let json = Json::parse(r#"{"a": [1, -2.5e3, null, "inf"], "b": {"c": true, "d": "x\"y"}, "e": []}"#);
    assert_eq!(json.get("a").list().iter().map(Json::number).collect::<Vec<_>>(), [Some(1.0), Some(-2500.0), None, Some(f64::INFINITY)]);
    assert_eq!(json.get("b").get("d"), &Json::Text("x\"y".to_owned()));
    assert_eq!(json.get("b").get("c"), &Json::Bool(true));
    assert_eq!(json.get("e").list().len() + json.get("e").fields().count(), 0);
}
