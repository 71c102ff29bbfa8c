//! The division of questions into those that measure a budget and those that confirm it.

use std::collections::{BTreeMap, BTreeSet};

/// Divides questions, keeping their order: the second list has a third of them, or a little more, because all questions about a document go
/// together. `documents` gives the documents that a question is about; one that is about two joins their questions.
pub(super) fn divide<T>(questions: Vec<T>, documents: impl Fn(&T) -> &[String]) -> (Vec<T>, Vec<T>) {
    let groups = groups(&questions.iter().map(documents).collect::<Vec<_>>());
    let size = |group: usize| groups.iter().filter(|other| **other == group).count();
    let (mut chosen, mut count) = (BTreeSet::new(), 0);
    for group in groups.iter().rev() {
        if count >= questions.len() / 3 {
            break;
        }
        if chosen.insert(*group) {
            count += size(*group);
        }
    }
    let (second, first): (Vec<_>, Vec<_>) = questions.into_iter().zip(groups).partition(|(_, group)| chosen.contains(group));
    let alone = |pairs: Vec<(T, usize)>| pairs.into_iter().map(|(question, _)| question).collect();
    (alone(first), alone(second))
}

/// For each list of documents, the number of its group: lists with a document in common are of one group, and so are those that a third list
/// joins.
fn groups(lists: &[&[String]]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..lists.len()).collect();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, list) in lists.iter().enumerate() {
        for document in *list {
            let other = *first.entry(document).or_insert(number);
            let (one, other) = (root(&mut parents, number), root(&mut parents, other));
            parents[one.max(other)] = one.min(other);
        }
    }
    (0..lists.len()).map(|number| root(&mut parents, number)).collect()
}

/// The first list of a group. The path to it is shortened.
fn root(parents: &mut [usize], mut number: usize) -> usize {
    while parents[number] != number {
        parents[number] = parents[parents[number]];
        number = parents[number];
    }
    number
}

#[cfg(test)]
mod tests {
    use mempack_numeric::Rng;

    use super::*;

    type Item = (usize, Vec<String>);

    fn split(lists: &[&[u32]]) -> (Vec<usize>, Vec<usize>) {
        let items: Vec<Item> = lists.iter().map(|list| list.iter().map(u32::to_string).collect()).enumerate().collect();
        let (first, second) = divide(items, |(_, documents)| documents.as_slice());
        let numbers = |items: Vec<Item>| items.into_iter().map(|(number, _)| number).collect();
        (numbers(first), numbers(second))
    }

    #[test]
    fn questions_of_a_document_go_together() {
        // One question a document: the last third, in order.
        assert_eq!(split(&[&[1], &[2], &[3], &[4], &[5], &[6], &[7]]), (vec![0, 1, 2, 3, 4], vec![5, 6]));
        // The last document's questions go together, wherever they stand.
        assert_eq!(split(&[&[1], &[2], &[3], &[1], &[2], &[1]]), (vec![1, 2, 4], vec![0, 3, 5]));
        // The third question is about both, and joins all; they cannot be divided.
        assert_eq!(split(&[&[1], &[2], &[1, 2]]), (vec![], vec![0, 1, 2]));
        assert_eq!(split(&[]), (vec![], vec![]));
        assert_eq!(split(&[&[], &[], &[]]), (vec![0, 1], vec![2]));
    }

    #[test]
    fn no_document_is_on_both_sides() {
        for seed in 0..200 {
            let mut rng = Rng::from_seed(seed);
            let documents = rng.between(1, 20);
            let lists: Vec<Vec<u32>> =
                (0..rng.between(0, 40)).map(|_| (0..rng.between(1, 2)).map(|_| rng.between(1, documents) as u32).collect()).collect();
            let lists: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
            let (first, second) = split(&lists);
            let of = |side: &[usize]| side.iter().flat_map(|number| lists[*number]).copied().collect::<BTreeSet<u32>>();
            assert!(of(&first).is_disjoint(&of(&second)), "seed {seed}");
            assert!(second.len() >= lists.len() / 3 && first.len() + second.len() == lists.len(), "seed {seed}");
            assert!(first.is_sorted() && second.is_sorted());
        }
    }
}
