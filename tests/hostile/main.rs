//! Packs that mean harm: each wrong in one way, with every digest above the wrong place made right, refused with its own error.

mod smoke;
