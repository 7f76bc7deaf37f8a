//! Errors that name the tier, the operation, the path and the remedy, and show no secret.

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;

use crate::tier::Tier;

/// The result of this crate's own operations.
pub type Result<T, E = TierError> = std::result::Result<T, E>;

/// What went wrong, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// The object exists already, and the write demanded that it does not.
    AlreadyExists,
    /// A condition of the request does not hold, or the object was replaced while it was being read.
    Precondition,
    /// The object is what the request said it has already.
    NotModified,
    /// The credentials lack the right to do it.
    PermissionDenied,
    /// There are no credentials, or they are wrong or expired.
    Unauthenticated,
    /// This origin cannot do it.
    NotSupported,
    /// The range does not lie in the object.
    InvalidRange,
    /// The origin did not answer, broke off, or answered with something else than was asked for.
    Unreachable,
    /// It does not fit under the tier's byte limit.
    BeyondLimit,
    /// A setting or argument that cannot be used.
    Invalid,
}

impl ErrorKind {
    /// What the user can do, as a sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NotFound => "Check the path, or invalidate it if it was removed on purpose",
            Self::AlreadyExists => "Choose another path or a write mode that overwrites",
            Self::Precondition => "Run the query again: it will read the present version",
            Self::NotModified => "Use the copy that you have",
            Self::PermissionDenied => "Check the rights of the credentials on this path",
            Self::Unauthenticated => "Check that credentials are set and have not expired",
            Self::NotSupported => "Use another origin or another operation",
            Self::InvalidRange => "Ask for a range that starts inside the object",
            Self::Unreachable => "Check the origin and the network, then try again",
            Self::BeyondLimit => "Raise the tier's limit, or unpin something",
            Self::Invalid => "Correct the setting",
        }
    }
}

/// An error of one tier. Cheap to clone: every reader that waited for a failed load gets the same one.
#[derive(Clone)]
pub struct TierError(Arc<Details>);

#[derive(Debug)]
struct Details {
    tier: Tier,
    operation: &'static str,
    location: String,
    kind: ErrorKind,
    reason: String,
}

impl TierError {
    /// An error of `tier` while it did `operation` on `location` (`label/path`, or a directory).
    ///
    /// Secrets in `reason` are cut out.
    pub(crate) fn new(
        tier: Tier,
        operation: &'static str,
        location: impl Into<String>,
        kind: ErrorKind,
        reason: impl fmt::Display,
    ) -> Self {
        Self(Arc::new(Details { tier, operation, location: location.into(), kind, reason: redacted(&reason.to_string()) }))
    }

    /// The error of an origin's answer.
    pub(crate) fn of_origin(operation: &'static str, label: &str, path: &Path, error: &object_store::Error) -> Self {
        Self::new(Tier::Origin, operation, format!("{label}/{path}"), kind_of(error), error)
    }

    /// The tier that failed.
    pub fn tier(&self) -> Tier {
        self.0.tier
    }

    /// What it was doing: `read`, `write`, `head`, `pin`, ...
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The label of the origin and the path in it, or the directory.
    pub fn location(&self) -> &str {
        &self.0.location
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { tier, operation, location, kind, reason } = &*self.0;
        let stop = if reason.ends_with('.') { "" } else { "." };
        write!(f, "{tier} tier: {operation} of '{location}' failed: {reason}{stop} {}", kind.remedy())
    }
}

impl fmt::Debug for TierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for TierError {}

/// The same kind of error as the origin would have given, so that callers that match on the kind keep working.
impl From<TierError> for object_store::Error {
    fn from(error: TierError) -> Self {
        let path = error.location().to_owned();
        let kind = error.kind();
        let source: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
        match kind {
            ErrorKind::NotFound => Self::NotFound { path, source },
            ErrorKind::AlreadyExists => Self::AlreadyExists { path, source },
            ErrorKind::Precondition => Self::Precondition { path, source },
            ErrorKind::NotModified => Self::NotModified { path, source },
            ErrorKind::PermissionDenied => Self::PermissionDenied { path, source },
            ErrorKind::Unauthenticated => Self::Unauthenticated { path, source },
            ErrorKind::NotSupported => Self::NotSupported { source },
            ErrorKind::InvalidRange | ErrorKind::Unreachable | ErrorKind::BeyondLimit | ErrorKind::Invalid => {
                Self::Generic { store: "TieredStore", source }
            }
        }
    }
}

/// What the text of an answer says more exactly than the kind that the client made of it: codes of S3 and Azure, and the status of listings,
/// which is in their text alone.
const MEANINGS: &[(&str, ErrorKind)] = &[
    ("ExpiredToken", ErrorKind::Unauthenticated),
    ("InvalidToken", ErrorKind::Unauthenticated),
    ("TokenRefreshRequired", ErrorKind::Unauthenticated),
    ("InvalidAccessKeyId", ErrorKind::Unauthenticated),
    ("SignatureDoesNotMatch", ErrorKind::Unauthenticated),
    ("RequestTimeTooSkewed", ErrorKind::Unauthenticated),
    ("AuthenticationFailed", ErrorKind::Unauthenticated),
    ("status code: 401", ErrorKind::Unauthenticated),
    ("status code: 403", ErrorKind::PermissionDenied),
    ("status code: 404", ErrorKind::NotFound),
];

fn kind_of(error: &object_store::Error) -> ErrorKind {
    use object_store::Error;
    if matches!(error, Error::Generic { .. } | Error::PermissionDenied { .. }) {
        let text = error.to_string();
        if let Some((_, kind)) = MEANINGS.iter().find(|(part, _)| text.contains(part)) {
            return *kind;
        }
    }
    match error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Error::Precondition { .. } => ErrorKind::Precondition,
        Error::NotModified { .. } => ErrorKind::NotModified,
        Error::PermissionDenied { .. } => ErrorKind::PermissionDenied,
        Error::Unauthenticated { .. } => ErrorKind::Unauthenticated,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => ErrorKind::NotSupported,
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unreachable,
    }
}

/// Elements of S3's and Azure's error bodies that hold keys, signatures or what was signed.
const SECRET_ELEMENTS: [&str; 11] = [
    "AWSAccessKeyId",
    "StringToSign",
    "StringToSignBytes",
    "SignatureProvided",
    "CanonicalRequest",
    "CanonicalRequestBytes",
    "AuthenticationErrorDetail",
    "Token",
    "Token-0",
    "SessionToken",
    "SecurityToken",
];

/// The text without what may be a secret: user names and passwords in URLs, queries of URLs (signatures, tokens), and the elements of
/// error bodies that quote the signature.
fn redacted(text: &str) -> String {
    let mut text = without_url_secrets(text);
    for element in SECRET_ELEMENTS {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let mut from = 0;
        while let Some(start) = text[from..].find(&open).map(|i| from + i + open.len()) {
            let end = text[start..].find(&close).map_or(text.len(), |i| start + i);
            text.replace_range(start..end, "***");
            from = start;
        }
    }
    text
}

fn without_url_secrets(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'`<>()[]{}|,".contains(c)).unwrap_or(after.len());
        let (url, following) = after.split_at(end);
        let authority_end = url.find(['/', '?', '#']).unwrap_or(url.len());
        let (authority, tail) = url.split_at(authority_end);
        match authority.rfind('@') {
            Some(at) => clean.extend(["***", &authority[at..]]),
            None => clean.push_str(authority),
        }
        match tail.find('?') {
            Some(at) => clean.extend([&tail[..at], "?***"]),
            None => clean.push_str(tail),
        }
        rest = following;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_the_text_and_the_rest_stays() {
        for (text, clean) in [
            ("GET https://a.b/c?sig=SECRET&x=1 failed", "GET https://a.b/c?*** failed"),
            ("(https://user:SECRET@host:1/p)", "(https://***@host:1/p)"),
            ("<Code>X</Code><StringToSign>SECRET\nSECRET</StringToSign>.", "<Code>X</Code><StringToSign>***</StringToSign>."),
            ("<AWSAccessKeyId>SECRET", "<AWSAccessKeyId>***"),
            ("no url: why? because", "no url: why? because"),
            ("a://b and c://d?e", "a://b and c://d?***"),
        ] {
            assert_eq!(redacted(text), clean);
        }
    }

    #[test]
    fn the_text_names_tier_operation_path_and_remedy() {
        let source = object_store::Error::Generic { store: "S3", source: "503 Slow Down".into() };
        let error = TierError::of_origin("read", "s3://bucket", &Path::from("a/b"), &source);
        assert_eq!(
            error.to_string(),
            "origin tier: read of 's3://bucket/a/b' failed: Generic S3 error: 503 Slow Down. Check the origin and the network, then try again"
        );
        assert!(matches!(object_store::Error::from(error), object_store::Error::Generic { .. }));
    }

    #[test]
    fn what_the_body_says_of_the_credentials_is_heard() {
        let kind = |text: &str| kind_of(&object_store::Error::Generic { store: "S3", source: text.into() });
        assert_eq!(kind("status code: 400 Bad Request: <Code>ExpiredToken</Code>"), ErrorKind::Unauthenticated);
        assert_eq!(kind("list: status code: 403 Forbidden: <Code>AccessDenied</Code>"), ErrorKind::PermissionDenied);
        assert_eq!(kind("list: status code: 404 Not Found: <Code>NoSuchBucket</Code>"), ErrorKind::NotFound);
        assert_eq!(kind("status code: 503 Service Unavailable"), ErrorKind::Unreachable);
        let denied = object_store::Error::PermissionDenied { path: "p".into(), source: "<Code>SignatureDoesNotMatch</Code>".into() };
        assert_eq!(kind_of(&denied), ErrorKind::Unauthenticated);
    }

    #[test]
    fn kinds_survive_the_way_through_the_tiers() {
        let source = || "x".into();
        let path = String::from("p");
        for error in [
            object_store::Error::NotFound { path: path.clone(), source: source() },
            object_store::Error::AlreadyExists { path: path.clone(), source: source() },
            object_store::Error::Precondition { path: path.clone(), source: source() },
            object_store::Error::NotModified { path: path.clone(), source: source() },
            object_store::Error::PermissionDenied { path: path.clone(), source: source() },
            object_store::Error::Unauthenticated { path, source: source() },
            object_store::Error::NotSupported { source: source() },
        ] {
            let there = object_store::Error::from(TierError::of_origin("read", "l", &Path::from("p"), &error));
            assert_eq!(std::mem::discriminant(&there), std::mem::discriminant(&error));
        }
    }
}
