//! transport-tonic
