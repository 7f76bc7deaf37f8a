//! HeavyDB's types and encodings, in SQL and in Arrow.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

use super::interval::{IntervalKind, TYPE_KEY};

/// Key of the metadata that keeps an encoding: `none`, `dict(8)`, `fixed(16)`, `days(16)`, in lower case.
pub const ENCODING_KEY: &str = "heavydb.encoding";

/// A spelling that is no type of HeavyDB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// No type starts so.
    #[error("'{0}' is no type of HeavyDB")]
    Unknown(String),
    /// A type with a length, precision or scale that it does not have.
    #[error("'{given}' is out of range: {rule}")]
    Parameter {
        /// The spelling.
        given: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// An encoding that the type does not have.
    #[error("{of} has no ENCODING {encoding}; it has {known}")]
    Encoding {
        /// The type.
        of: String,
        /// The encoding.
        encoding: String,
        /// The encodings of the type.
        known: &'static str,
    },
}

/// The values of a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// BOOLEAN.
    Boolean,
    /// TINYINT, 8 bits.
    TinyInt,
    /// SMALLINT, 16 bits.
    SmallInt,
    /// INTEGER, 32 bits.
    Integer,
    /// BIGINT, 64 bits.
    BigInt,
    /// FLOAT, 32 bits.
    Float,
    /// DOUBLE, 64 bits.
    Double,
    /// DECIMAL(p, s) in 64 bits.
    Decimal {
        /// 1 to 18 digits.
        precision: u8,
        /// Of them behind the point.
        scale: u8,
    },
    /// TEXT; lengths are not kept.
    Text,
    /// DATE.
    Date,
    /// TIME of whole seconds.
    Time,
    /// TIMESTAMP(0), (3), (6), (9).
    Timestamp(TimeUnit),
    /// The result of arithmetic with INTERVALs; no column has it.
    Interval(IntervalKind),
    /// `T[]`, or `T[n]` of a fixed length.
    Array {
        /// T.
        element: Box<HeavyType>,
        /// n.
        length: Option<u32>,
    },
    /// POINT … GEOGRAPHY, in this spelling: a table may have such a column, but no query may use it.
    Geometry(String),
}

/// How a column stores its values; it limits their range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The type's own.
    Default,
    /// So many bits.
    Fixed(u8),
    /// Days in so many bits, the encoding of DATE; 32 where nothing is said.
    Days(u8),
    /// Numbers of so many bits into a dictionary, the encoding of TEXT; 32 where nothing is said.
    Dictionary(u8),
    /// Texts in place: `''` is kept.
    None,
}

/// A type with its encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeavyType {
    /// The values.
    pub kind: Kind,
    /// The encoding.
    pub encoding: Encoding,
}

impl HeavyType {
    /// A type in its own encoding: DICT(32) for TEXT, DAYS(32) for DATE.
    pub fn new(kind: Kind) -> Self {
        let encoding = match &kind {
            Kind::Text => Encoding::Dictionary(32),
            Kind::Date => Encoding::Days(32),
            Kind::Array { element, .. } => element.encoding,
            _ => Encoding::Default,
        };
        Self { kind, encoding }
    }

    /// Reads a type, with or without an encoding.
    ///
    /// ```
    /// # use datafusion_heavydb::types::heavy_type::HeavyType;
    /// for (given, shown) in [
    ///     ("varchar(10)", "TEXT ENCODING DICT(32)"),
    ///     ("timestamp encoding fixed(32)", "TIMESTAMP(0) ENCODING FIXED(32)"),
    ///     ("date encoding fixed(16)", "DATE ENCODING DAYS(16)"),
    ///     ("Numeric(9, 6)", "DECIMAL(9,6)"),
    ///     ("double precision", "DOUBLE"),
    ///     ("TEXT[] ENCODING DICT(32)", "TEXT[] ENCODING DICT(32)"),
    ///     ("int[3]", "INTEGER[3]"),
    /// ] {
    ///     assert_eq!(HeavyType::parse(given).unwrap().to_string(), shown);
    /// }
    /// assert!(HeavyType::parse("TIMESTAMP(1)").is_err());
    /// assert!(HeavyType::parse("DECIMAL(19, 2)").is_err());
    /// ```
    ///
    /// # Errors
    /// No such type, a parameter out of range, an encoding of another type.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let upper = text.trim().to_ascii_uppercase();
        let (base, encoding) = match upper.find("ENCODING") {
            Some(start) => (upper[..start].trim_end(), Some(upper[start + "ENCODING".len()..].trim())),
            None => (upper.as_str(), None),
        };
        let plain = match base.strip_suffix(']').and_then(|open| open.rsplit_once('[')) {
            Some((element, length)) => Self::array(element.trim_end(), length.trim(), text)?,
            None => Self::new(scalar_kind(base, text)?),
        };
        encoding.map_or(Ok(plain.clone()), |encoding| plain.with_encoding(encoding))
    }

    fn array(element: &str, length: &str, text: &str) -> Result<Self, TypeError> {
        let element = Self::new(scalar_kind(element, text)?);
        let out_of_range = TypeError::Parameter { given: text.to_owned(), rule: "the length of an array is a number from 1" };
        let length = match length {
            "" => None,
            number => Some(number.parse().ok().filter(|length| *length > 0).ok_or(out_of_range)?),
        };
        if matches!(element.kind, Kind::Geometry(_)) {
            return Err(TypeError::Unknown(text.to_owned()));
        }
        Ok(Self::new(Kind::Array { element: Box::new(element), length }))
    }

    /// The type in another encoding, written as in `ENCODING DICT(16)`.
    ///
    /// # Errors
    /// An encoding that the type does not have.
    pub fn with_encoding(mut self, text: &str) -> Result<Self, TypeError> {
        let upper = text.trim().to_ascii_uppercase();
        let (name, parameters) = name_and_parameters(&upper);
        let bits = match parameters.as_deref() {
            None => None,
            // No encoding has 0 bits.
            Some([bits]) => Some(u8::try_from(*bits).unwrap_or(0)),
            Some(_) => Some(0),
        };
        let known = known_encodings(&self.kind);
        let encoding = match (name, bits) {
            ("NONE", None) => Encoding::None,
            ("DICT", bits) => Encoding::Dictionary(bits.unwrap_or(32)),
            ("DAYS", bits) => Encoding::Days(bits.unwrap_or(32)),
            ("FIXED", Some(bits)) if self.kind == Kind::Date => Encoding::Days(bits),
            ("FIXED", Some(bits)) => Encoding::Fixed(bits),
            ("COMPRESSED", _) if matches!(self.kind, Kind::Geometry(_)) => return Ok(self),
            _ => return Err(self.no_encoding(text)),
        };
        if !known.1.contains(&encoding) {
            return Err(self.no_encoding(text));
        }
        self.encoding = if encoding == Encoding::None && self.kind != Kind::Text { Encoding::Default } else { encoding };
        if let Kind::Array { element, .. } = &mut self.kind {
            element.encoding = self.encoding;
        }
        Ok(self)
    }

    fn no_encoding(&self, encoding: &str) -> TypeError {
        TypeError::Encoding { of: self.name(), encoding: encoding.to_owned(), known: known_encodings(&self.kind).0 }
    }

    /// The type without its encoding, in HeavyDB's spelling.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Boolean => "BOOLEAN".to_owned(),
            Kind::TinyInt => "TINYINT".to_owned(),
            Kind::SmallInt => "SMALLINT".to_owned(),
            Kind::Integer => "INTEGER".to_owned(),
            Kind::BigInt => "BIGINT".to_owned(),
            Kind::Float => "FLOAT".to_owned(),
            Kind::Double => "DOUBLE".to_owned(),
            Kind::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Kind::Text => "TEXT".to_owned(),
            Kind::Date => "DATE".to_owned(),
            Kind::Time => "TIME".to_owned(),
            Kind::Timestamp(unit) => format!("TIMESTAMP({})", precision_of(*unit)),
            Kind::Interval(IntervalKind::DayTime) => "INTERVAL DAY TO SECOND".to_owned(),
            Kind::Interval(IntervalKind::YearMonth) => "INTERVAL YEAR TO MONTH".to_owned(),
            Kind::Array { element, length: Some(length) } => format!("{}[{length}]", element.name()),
            Kind::Array { element, length: None } => format!("{}[]", element.name()),
            Kind::Geometry(spelling) => spelling.clone(),
        }
    }

    /// The Arrow type. TEXT is Utf8View in every encoding, a geometry keeps its text.
    pub fn data_type(&self) -> DataType {
        match &self.kind {
            Kind::Boolean => DataType::Boolean,
            Kind::TinyInt => DataType::Int8,
            Kind::SmallInt => DataType::Int16,
            Kind::Integer => DataType::Int32,
            Kind::BigInt | Kind::Interval(_) => DataType::Int64,
            Kind::Float => DataType::Float32,
            Kind::Double => DataType::Float64,
            Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX)),
            Kind::Text | Kind::Geometry(_) => DataType::Utf8View,
            Kind::Date => DataType::Date32,
            Kind::Time => DataType::Time32(TimeUnit::Second),
            Kind::Timestamp(unit) => DataType::Timestamp(*unit, None),
            Kind::Array { element, length } => {
                let item = Arc::new(Field::new("item", element.data_type(), true));
                match length.and_then(|length| i32::try_from(length).ok()) {
                    Some(length) => DataType::FixedSizeList(item, length),
                    None => DataType::List(item),
                }
            }
        }
    }

    /// A column of this type; the encoding, where it is not the type's own, is kept as metadata, from which [`Self::of`] reads it.
    pub fn field(&self, name: &str, nullable: bool) -> Field {
        let mut metadata = std::collections::HashMap::new();
        match &self.kind {
            Kind::Interval(kind) => metadata.extend(kind.metadata()),
            Kind::Geometry(spelling) => metadata.extend([(TYPE_KEY.to_owned(), spelling.clone())]),
            _ => {}
        }
        if self.encoding != Self::new(self.kind.clone()).encoding || self.encoding == Encoding::None {
            metadata.insert(ENCODING_KEY.to_owned(), self.encoding.to_string().to_ascii_lowercase());
        }
        Field::new(name, self.data_type(), nullable).with_metadata(metadata)
    }

    /// The type of a field; `None` where HeavyDB has no such type.
    ///
    /// ```
    /// # use datafusion_heavydb::types::heavy_type::HeavyType;
    /// let given = HeavyType::parse("SMALLINT ENCODING FIXED(8)").unwrap();
    /// assert_eq!(HeavyType::of(&given.field("x", true)), Some(given));
    /// ```
    pub fn of(field: &Field) -> Option<Self> {
        let metadata = field.metadata();
        if let Some(kind) = IntervalKind::of(field) {
            return Some(Self::new(Kind::Interval(kind)));
        }
        let plain = match metadata.get(TYPE_KEY) {
            Some(spelling) => Self::new(Kind::Geometry(spelling.clone())),
            None => Self::of_data_type(field.data_type())?,
        };
        match metadata.get(ENCODING_KEY).map(|encoding| plain.clone().with_encoding(encoding)) {
            Some(Ok(encoded)) => Some(encoded),
            Some(Err(_)) | None => Some(plain),
        }
    }

    /// The type of Arrow values, in its own encoding.
    pub fn of_data_type(data_type: &DataType) -> Option<Self> {
        let kind = match data_type {
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 => Kind::TinyInt,
            DataType::Int16 => Kind::SmallInt,
            DataType::Int32 => Kind::Integer,
            DataType::Int64 => Kind::BigInt,
            DataType::Float32 => Kind::Float,
            DataType::Float64 => Kind::Double,
            DataType::Decimal128(precision @ 1..=18, scale) => Kind::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? },
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Kind::Text,
            DataType::Dictionary(_, values) => return Self::of_data_type(values),
            DataType::Date32 => Kind::Date,
            DataType::Time32(TimeUnit::Second) => Kind::Time,
            DataType::Timestamp(unit, None) => Kind::Timestamp(*unit),
            DataType::List(item) => Kind::Array { element: Box::new(Self::of_data_type(item.data_type())?), length: None },
            DataType::FixedSizeList(item, length) => {
                Kind::Array { element: Box::new(Self::of_data_type(item.data_type())?), length: u32::try_from(*length).ok() }
            }
            _ => return None,
        };
        Some(Self::new(kind))
    }

    /// Least and greatest value that a nullable column holds, as it stores them: integers, DECIMAL without its point, days, seconds,
    /// units of the TIMESTAMP. One less than the least is HeavyDB's NULL. `None` for types without such a bound.
    ///
    /// ```
    /// # use datafusion_heavydb::types::heavy_type::HeavyType;
    /// let days = HeavyType::parse("DATE ENCODING DAYS(16)").unwrap();
    /// assert_eq!(days.range(), Some((-32_767, 32_767))); // 1880-04-15 to 2059-09-18
    /// ```
    pub fn range(&self) -> Option<(i64, i64)> {
        let greatest = i64::MAX >> (64 - self.stored_bits()?);
        Some((-greatest, greatest))
    }

    /// HeavyDB's NULL among the stored integers of the type: the least value. FLOAT and DOUBLE have their least normal number, text and
    /// arrays none.
    pub fn null_value(&self) -> Option<i64> {
        self.range().map(|(least, _)| least - 1)
    }

    fn stored_bits(&self) -> Option<u32> {
        let own = match &self.kind {
            Kind::Boolean | Kind::TinyInt => 8,
            Kind::SmallInt => 16,
            Kind::Integer => 32,
            Kind::BigInt | Kind::Decimal { .. } | Kind::Time | Kind::Timestamp(_) | Kind::Interval(_) => 64,
            Kind::Date => 32,
            Kind::Float | Kind::Double | Kind::Text | Kind::Array { .. } | Kind::Geometry(_) => return None,
        };
        match self.encoding {
            Encoding::Fixed(bits @ 1..=64) | Encoding::Days(bits @ 1..=64) => Some(bits.into()),
            _ => Some(own),
        }
    }

    /// How many texts the dictionary holds; later ones become NULL.
    pub fn dictionary_capacity(&self) -> Option<usize> {
        match self.encoding {
            Encoding::Dictionary(8) => Some(255),
            Encoding::Dictionary(16) => Some(65_535),
            _ => None,
        }
    }

    /// Whether an empty text is NULL in a nullable column: in all but ENCODING NONE.
    pub fn empty_is_null(&self) -> bool {
        self.kind == Kind::Text && self.encoding != Encoding::None
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Fixed(bits) => write!(f, "FIXED({bits})"),
            Self::Days(bits) => write!(f, "DAYS({bits})"),
            Self::Dictionary(bits) => write!(f, "DICT({bits})"),
            Self::None => write!(f, "NONE"),
        }
    }
}

/// The spelling of SHOW CREATE TABLE.
impl fmt::Display for HeavyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An array of dates shows no encoding.
        match (&self.kind, self.encoding) {
            (_, Encoding::Default) | (Kind::Array { .. }, Encoding::Days(_)) => write!(f, "{}", self.name()),
            (_, encoding) => write!(f, "{} ENCODING {encoding}", self.name()),
        }
    }
}

/// Digits behind the second.
pub fn precision_of(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The encodings of a type, in words and as values.
fn known_encodings(kind: &Kind) -> (&'static str, &'static [Encoding]) {
    use Encoding::{Days, Dictionary, Fixed, None};
    match kind {
        Kind::Text => ("DICT(8), DICT(16), DICT(32), NONE", &[Dictionary(8), Dictionary(16), Dictionary(32), None]),
        Kind::Date => ("DAYS(16), DAYS(32), FIXED(16), FIXED(32), NONE", &[Days(16), Days(32), None]),
        Kind::Time | Kind::Timestamp(TimeUnit::Second) => ("FIXED(32), NONE", &[Fixed(32), None]),
        Kind::SmallInt => ("FIXED(8), NONE", &[Fixed(8), None]),
        Kind::Integer => ("FIXED(8), FIXED(16), NONE", &[Fixed(8), Fixed(16), None]),
        Kind::BigInt => ("FIXED(8), FIXED(16), FIXED(32), NONE", &[Fixed(8), Fixed(16), Fixed(32), None]),
        Kind::Decimal { precision: ..=4, .. } => ("FIXED(16), FIXED(32), NONE", &[Fixed(16), Fixed(32), None]),
        Kind::Decimal { precision: ..=9, .. } => ("FIXED(32), NONE", &[Fixed(32), None]),
        Kind::Array { element, .. } if element.kind == Kind::Text => ("DICT(32)", &[Dictionary(32)]),
        _ => ("NONE", &[None]),
    }
}

/// `DECIMAL(10, 2)` as its name and its numbers; no numbers at all where one parameter is none, as the empty list fits no type.
fn name_and_parameters(text: &str) -> (&str, Option<Vec<u32>>) {
    match text.strip_suffix(')').and_then(|open| open.split_once('(')) {
        Some((name, list)) => {
            let numbers: Option<Vec<u32>> = list.split(',').map(|number| number.trim().parse().ok()).collect();
            (name.trim_end(), Some(numbers.unwrap_or_default()))
        }
        None => (text, None),
    }
}

const GEOMETRIES: &[&str] = &["POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRY", "GEOGRAPHY"];

fn scalar_kind(base: &str, text: &str) -> Result<Kind, TypeError> {
    let (name, parameters) = name_and_parameters(base);
    let parameter = |rule| TypeError::Parameter { given: text.to_owned(), rule };
    let plain = |kind| if parameters.is_none() { Ok(kind) } else { Err(parameter("the type has no parameter")) };
    match name {
        "BOOLEAN" | "BOOL" => plain(Kind::Boolean),
        "TINYINT" => plain(Kind::TinyInt),
        "SMALLINT" => plain(Kind::SmallInt),
        "INT" | "INTEGER" => plain(Kind::Integer),
        "BIGINT" => plain(Kind::BigInt),
        "FLOAT" | "REAL" => plain(Kind::Float),
        "DATE" => plain(Kind::Date),
        "TEXT" | "STRING" | "VARCHAR" | "CHAR" | "CHARACTER" | "CHARACTER VARYING" => match parameters.as_deref() {
            None | Some([_]) => Ok(Kind::Text),
            Some(_) => Err(parameter("the length of a text is a number")),
        },
        "TIME" => match parameters.as_deref() {
            None | Some([0]) => Ok(Kind::Time),
            Some(_) => Err(parameter("TIME has whole seconds, TIME(0)")),
        },
        "TIMESTAMP" => timestamp_kind(parameters.as_deref()).ok_or_else(|| parameter("TIMESTAMP has precision 0, 3, 6 or 9")),
        "DECIMAL" | "NUMERIC" => {
            decimal_kind(parameters.as_deref()).ok_or_else(|| parameter("DECIMAL(p, s) has 1 to 18 digits p and s below p"))
        }
        _ if name.split_ascii_whitespace().eq(["DOUBLE"]) || name.split_ascii_whitespace().eq(["DOUBLE", "PRECISION"]) => {
            plain(Kind::Double)
        }
        _ if GEOMETRIES.contains(&name) => Ok(Kind::Geometry(base.to_owned())),
        _ => Err(TypeError::Unknown(text.to_owned())),
    }
}

fn timestamp_kind(parameters: Option<&[u32]>) -> Option<Kind> {
    let unit = match parameters {
        None | Some([0]) => TimeUnit::Second,
        Some([3]) => TimeUnit::Millisecond,
        Some([6]) => TimeUnit::Microsecond,
        Some([9]) => TimeUnit::Nanosecond,
        Some(_) => return None,
    };
    Some(Kind::Timestamp(unit))
}

/// The digits are demanded; a missing scale is 0.
fn decimal_kind(parameters: Option<&[u32]>) -> Option<Kind> {
    let (precision, scale) = match parameters? {
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return None,
    };
    let fits = (1..=18).contains(&precision) && scale <= precision;
    fits.then_some(Kind::Decimal { precision: u8::try_from(precision).ok()?, scale: u8::try_from(scale).ok()? })
}
