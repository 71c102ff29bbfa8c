//! Fenced code blocks (CommonMark, section 4.5): lines between two fences of backticks or tildes.

/// Whether the lines of a text, one after the other, are in a code block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fence(Option<&'static str>);

impl Fence {
    /// Whether the next line is in a code block, or begins or ends one. White space before it is ignored.
    pub fn contains(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (self.0, mark) {
            (None, Some(mark)) => self.0 = Some(mark),
            (Some(open), Some(mark)) if open == mark => self.0 = None,
            (None, None) => return false,
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_at_a_fence_of_its_own_kind() {
        let mut fence = Fence::default();
        let lines = ["text", "  ```sql", "~~~", "inside", "```", "text", "~~~", "```", "~~~", "text"];
        let inside = lines.map(|line| fence.contains(line));
        assert_eq!(inside, [false, true, true, true, true, false, true, true, true, false]);
    }
}
