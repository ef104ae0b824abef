//! wawp
