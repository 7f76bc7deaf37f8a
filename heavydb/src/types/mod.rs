//! HeavyDB's types: their Arrow forms, the texts that they read, the values that casts give.
