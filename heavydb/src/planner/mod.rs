//! Planning with HeavyDB types.
