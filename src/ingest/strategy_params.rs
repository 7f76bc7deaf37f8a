//! Parameters that a strategy's name states, by documented grammars.

/// One parameter of a strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyParam {
    /// Name of the parameter.
    pub param: &'static str,
    /// Its text in the strategy's name.
    pub value_text: String,
    /// Its value: minutes from midnight for times, else the number as written.
    pub value: Option<f64>,
}

/// Takes a whole name apart; `None` where it does not fit.
type Grammar = fn(&str) -> Option<Vec<StrategyParam>>;

/// Every grammar, tried in this order.
const GRAMMARS: &[Grammar] = &[time_window, template];

/// Parts of a template name after the template: prefix, parameters (two for a range), required.
const TEMPLATE_PARTS: &[(&str, &[&str], bool)] = &[
    ("L", &["L"], true),
    ("T", &["T"], true),
    ("SL", &["SL"], true),
    ("TP", &["TP"], true),
    ("CD", &["CD"], false),
    ("RSI", &["RSI_LO", "RSI_HI"], false),
    ("VF", &["VF"], false),
    ("AT", &["AT"], false),
    ("RC", &["RC"], false),
    ("SF", &["SF"], false),
    ("PT", &["PT"], false),
];

/// The parameters that a strategy's name states; empty where it fits no grammar.
///
/// | grammar | parameters |
/// |---|---|
/// | `SENSEX hhmm-hhmm SLa%[TPb%]` | `ENTRY_MIN`, `EXIT_MIN` (minutes from midnight), `SL`, `TP` (percent) |
/// | `Template_La_Tb_SLc_TPd[_CDe][_RSIf-g][_VFh][_ATi][_RCj][_SFk][_PTl]` | `L` (lookback), `T`, `SL`, `TP`, `CD`, `RSI_LO`, `RSI_HI`, `VF`, `AT`, `RC`, `SF`, `PT` |
///
/// The first word is any symbol in capitals, or any template name. Hours have one or two digits (`930`, `0930`); numbers may have a fraction.
///
/// ```
/// # use tranchedb::ingest::parse_strategy_params;
/// let params = parse_strategy_params("SENSEX 930-1030 SL38%TP27%");
/// let values: Vec<_> = params.iter().map(|p| (p.param, p.value)).collect();
/// assert_eq!(values, [("ENTRY_MIN", Some(570.0)), ("EXIT_MIN", Some(630.0)), ("SL", Some(38.0)), ("TP", Some(27.0))]);
/// ```
pub fn parse_strategy_params(name: &str) -> Vec<StrategyParam> {
    GRAMMARS.iter().find_map(|grammar| grammar(name)).unwrap_or_default()
}

/// `SENSEX 930-1030 SL38%TP27%`.
fn time_window(name: &str) -> Option<Vec<StrategyParam>> {
    let mut words = name.split(' ');
    let (symbol, window, stops) = (words.next()?, words.next()?, words.next()?);
    let is_symbol =
        symbol.starts_with(|c: char| c.is_ascii_uppercase()) && symbol.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !is_symbol || words.next().is_some() {
        return None;
    }
    let (entry, exit) = window.split_once('-')?;
    let (loss, rest) = stops.strip_prefix("SL")?.split_once('%')?;
    let mut params = vec![minutes("ENTRY_MIN", entry)?, minutes("EXIT_MIN", exit)?, number("SL", loss)?];
    if !rest.is_empty() {
        params.push(number("TP", rest.strip_prefix("TP")?.strip_suffix('%')?)?);
    }
    Some(params)
}

/// `MeanReverter_L20_T0.5_SL10_TP20_CD3_RSI30-70`.
fn template(name: &str) -> Option<Vec<StrategyParam>> {
    let words: Vec<&str> = name.split('_').collect();
    // A template name may hold '_' itself: its parts are the last ones that fit.
    (1..words.len()).find_map(|first| template_parts(&words[first..]).filter(|_| !words[0].is_empty()))
}

fn template_parts(words: &[&str]) -> Option<Vec<StrategyParam>> {
    let mut words = words.iter().peekable();
    let mut params = vec![];
    for (prefix, names, required) in TEMPLATE_PARTS {
        let parsed = words.peek().and_then(|word| template_part(word.strip_prefix(prefix)?, names));
        match parsed {
            Some(parsed) => {
                params.extend(parsed);
                words.next();
            }
            None if *required => return None,
            None => {}
        }
    }
    words.peek().is_none().then_some(params)
}

fn template_part(text: &str, names: &[&'static str]) -> Option<Vec<StrategyParam>> {
    match names {
        [low, high] => {
            let (from, to) = text.split_once('-')?;
            Some(vec![number(low, from)?, number(high, to)?])
        }
        _ => names.iter().map(|name| number(name, text)).collect(),
    }
}

fn number(param: &'static str, text: &str) -> Option<StrategyParam> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value = plain.then(|| text.parse().ok()).flatten()?;
    Some(StrategyParam { param, value_text: text.to_owned(), value: Some(value) })
}

/// A time of three or four digits, as minutes from midnight.
fn minutes(param: &'static str, text: &str) -> Option<StrategyParam> {
    if !matches!(text.len(), 3 | 4) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hour, minute): (u32, u32) = (text[..text.len() - 2].parse().ok()?, text[text.len() - 2..].parse().ok()?);
    (hour < 24 && minute < 60).then(|| StrategyParam { param, value_text: text.to_owned(), value: Some(f64::from(hour * 60 + minute)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str) -> Vec<(&'static str, f64)> {
        parse_strategy_params(name).into_iter().map(|p| (p.param, p.value.unwrap())).collect()
    }

    #[test]
    fn a_time_window_states_minutes_and_percents() {
        assert_eq!(values("SENSEX 1336-1406 SL71%"), [("ENTRY_MIN", 816.0), ("EXIT_MIN", 846.0), ("SL", 71.0)]);
        assert_eq!(values("SENSEX 0930-1030 SL138%TP127%")[2..], [("SL", 138.0), ("TP", 127.0)]);
        assert_eq!(parse_strategy_params("SENSEX 930-1030 SL38%")[0].value_text, "930");
    }

    #[test]
    fn a_template_states_what_it_has_in_order() {
        assert_eq!(values("TrendFollower_L5_T0.5_SL10_TP20"), [("L", 5.0), ("T", 0.5), ("SL", 10.0), ("TP", 20.0)]);
        let all = values("Mean_Reverter_L20_T1_SL10_TP20_CD3_RSI30-70_VF1.5_AT2_RC1_SF0.5_PT9");
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["L", "T", "SL", "TP", "CD", "RSI_LO", "RSI_HI", "VF", "AT", "RC", "SF", "PT"]);
        assert_eq!(values("X_L1_T2_SL3_TP4_VF5"), [("L", 1.0), ("T", 2.0), ("SL", 3.0), ("TP", 4.0), ("VF", 5.0)]);
    }

    #[test]
    fn names_outside_every_grammar_state_nothing() {
        for name in [
            "",
            "strategy_1",
            "A_SL10_TP20",
            "SENSEX 1336-1406",
            "SENSEX 1336-1406 SL71",
            "SENSEX 2530-1406 SL71%",
            "SENSEX 1360-1406 SL71%",
            "SENSEX 93-1030 SL1%",
            "SENSEX 930-1030 SL38%TP27% x",
            "SENSEX 930-1030 SL38%XX27%",
            "SENSEX_1000_1100_SL7pct",
            "X_L1_T2_SL3_TP4_ZZ5",
            "X_L1_T2_SL3_TP4_VF5_CD1",
            "X_L1_T2_SL3_TP4_RSI30",
            "X_La_T2_SL3_TP4",
            "X_L1e3_T2_SL3_TP4",
            "X_L1.2.3_T2_SL3_TP4",
            "SENSEX 9é0-1030 SL1%",
        ] {
            assert_eq!(parse_strategy_params(name), [], "{name}");
        }
    }
}
