//! What training minimizes. Losses take logits; no network applies a softmax.

pub mod ohem;
