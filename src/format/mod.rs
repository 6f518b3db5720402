//! JSON forms in and out.
