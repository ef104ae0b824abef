//! The rules of the shadow membership: what is a new join, what a repeat, what is too old to count (P2).
