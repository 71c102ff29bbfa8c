//! OpenAI's interface: what its requests mean, and the form of replies.

pub mod answers;
pub mod embeddings;
pub mod fields;
pub mod messages;
pub mod models;
pub mod reply;
pub mod request;
