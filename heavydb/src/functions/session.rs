//! What a call tells about the session and about places of rows.

use super::{Action, Example, Function};

/// Functions of the session and of the places of rows.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "CURRENT_USER",
        arguments: "",
        action: Action::Rewritten("the name that the session's option gives"),
        doc: "The user of the session as TEXT.",
        example: Example { sql: "CURRENT_USER", value: "admin" },
    },
    Function {
        name: "FRAGMENT_ID",
        arguments: "(column)",
        action: Action::Rewritten("the row's place in order of insertion, divided by the table's fragment_size"),
        doc: "Number of the fragment that holds the row, as BIGINT; refused once rows were deleted.",
        example: Example { sql: "SELECT fragment_id(x) FROM t", value: "0 0 0" },
    },
    Function {
        name: "OFFSET_IN_FRAGMENT",
        arguments: "(column)",
        action: Action::Rewritten("the remainder of that division"),
        doc: "Place of the row in its fragment, from 0, as BIGINT; refused once rows were deleted.",
        example: Example { sql: "SELECT offset_in_fragment(x) FROM t", value: "0 1 2" },
    },
    Function {
        name: "FRAGMENT_ID_AND_OFFSET",
        arguments: "(column)",
        action: Action::Rewritten("fragment times 2^32, plus the place in it"),
        doc: "Fragment and place in one BIGINT; refused once rows were deleted.",
        example: Example { sql: "SELECT fragment_id_and_offset(x) FROM t", value: "0 1 2" },
    },
    Function {
        name: "SAMPLE_RATIO",
        arguments: "(share)",
        action: Action::Refused("HeavyDB chooses rows by a hash of their physical places"),
        doc: "A sample of the rows.",
        example: Example { sql: "SAMPLE_RATIO(0.5)", value: "refused" },
    },
];
