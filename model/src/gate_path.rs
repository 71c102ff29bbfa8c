//! Integrated gradients (arXiv 1703.01365) along the path on which all gates open together.

/// Nodes and weights of Gauss-Legendre quadrature with three nodes on -1 to 1.
const QUADRATURE: [(f64, f64); 3] = [(-0.774_596_669_241_483_4, 5.0 / 9.0), (0.0, 8.0 / 9.0), (0.774_596_669_241_483_4, 5.0 / 9.0)];
/// The length of a part of the path, in logarithms of gates.
const PART: f64 = 2.0;
/// A part is not divided further than to this length.
const SHORTEST: f64 = 0.25;
/// The path does not begin before this: exp(-30) of a token's share in attention is nothing.
const FIRST: f64 = -30.0;
/// The path begins where the loss is as near to that without memories: a share of the farthest that it was found from it.
const NEAR: f64 = 0.01;
/// How far the gains of a part may be from the change of the loss over it, as a share of the same.
const EXACT: f64 = 0.01;

/// What was measured along a path of gates.
#[derive(Clone, Debug, PartialEq)]
pub struct GatePath {
    /// The loss with all gates closed.
    pub none: f64,
    /// The loss with all gates open.
    pub all: f64,
    /// The logarithm of the gates where the path begins; it ends at 0.
    pub start: f64,
    /// The gain of each gate: how far the loss falls by its opening, while all open.
    pub gains: Vec<f64>,
}

impl GatePath {
    /// What the gains must add up to.
    pub fn change(&self) -> f64 {
        self.none - self.all
    }

    /// The sum of the gains over what it must be: 1 if the integral is exact.
    pub fn ratio(&self) -> f64 {
        self.gains.iter().sum::<f64>() / self.change()
    }
}

/// Integrates the gradient of a loss along the path on which the logarithms of all gates go from where the loss begins to move to 0.
///
/// `measure` is given the logarithm of all gates, which is -inf if they are closed, and whether derivatives are wanted. It returns the loss,
/// and its derivatives with respect to the logarithm of each gate, which may be empty if they are not wanted.
///
/// Parts of the path over which the gains do not add up to the change of the loss are halved, so nodes are where the loss moves. A path of
/// length 8 takes a dozen calls with derivatives, and three more for each part that is halved.
///
/// # Errors
/// Those of `measure`.
pub fn integrate<E>(mut measure: impl FnMut(f64, bool) -> Result<(f64, Vec<f64>), E>) -> Result<GatePath, E> {
    let (none, _) = measure(f64::NEG_INFINITY, false)?;
    let (all, _) = measure(0.0, false)?;
    let mut farthest = (all - none).abs();
    // The ends of parts that are still to be integrated, with the losses there.
    let mut parts = Vec::new();
    let mut end = (0.0, all);
    while end.0 > FIRST {
        let start = (end.0 - PART, measure(end.0 - PART, false)?.0);
        parts.push((start, end));
        end = start;
        if (start.1 - none).abs() <= NEAR * farthest {
            break;
        }
        farthest = farthest.max((start.1 - none).abs());
    }
    let mut gains: Vec<f64> = Vec::new();
    while let Some((from, to)) = parts.pop() {
        let half = (to.0 - from.0) / 2.0;
        let middle = from.0 + half;
        let mut of_part: Vec<f64> = Vec::new();
        for (node, weight) in QUADRATURE {
            let (_, slopes) = measure(middle + half * node, true)?;
            of_part.resize(slopes.len(), 0.0);
            of_part.iter_mut().zip(&slopes).for_each(|(gain, slope)| *gain -= weight * half * slope);
        }
        let off = of_part.iter().sum::<f64>() - (from.1 - to.1);
        if off.abs() > EXACT * farthest && half > SHORTEST {
            let between = (middle, measure(middle, false)?.0);
            parts.extend([(between, to), (from, between)]);
            continue;
        }
        gains.resize(of_part.len(), 0.0);
        gains.iter_mut().zip(&of_part).for_each(|(gain, more)| *gain += more);
    }
    Ok(GatePath { none, all, start: end.0, gains })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two gates share the attention of one token: the loss is a function of their sum of weights.
    #[test]
    fn gains_add_up_to_the_change() {
        let mut derivatives = 0;
        let path = integrate(|log, derive| {
            derivatives += usize::from(derive);
            let a = log.exp();
            let (x, y) = (3.0 * a, 0.5 * a);
            let total = 1.0 + x + y;
            let share = (x + y) / total;
            // d share / d log of each.
            let slope = |z: f64| -2.0 * z / (total * total);
            Ok::<_, ()>((4.0 - 2.0 * share, vec![slope(x), slope(y)]))
        })
        .unwrap();
        assert!((9..40).contains(&derivatives), "{derivatives}");
        assert_eq!((path.none, path.gains.len()), (4.0, 2));
        assert!((path.ratio() - 0.99).abs() < 0.015, "{path:?}");
        assert!((path.gains[0] / path.gains[1] - 6.0).abs() < 1e-9, "{path:?}");
    }

    #[test]
    fn a_loss_that_does_not_move_ends_the_search() {
        let mut calls = 0;
        let path = integrate(|_, _| {
            calls += 1;
            Ok::<_, ()>((1.0, vec![0.0]))
        });
        assert_eq!((path.unwrap().gains, calls), (vec![0.0], 6), "none, all, the first part, and its three nodes");
        assert_eq!(integrate(|_, _| Err::<(f64, Vec<f64>), _>("stopped")), Err("stopped"));
    }
}
