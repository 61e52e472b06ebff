//! McNemar's exact test: whether two models, measured on the same images, differ by more than chance (McNemar, Psychometrika
//! 12, 1947; exact as in Dietterich, Neural Computation 10, 1998, but without its normal approximation).

/// The probability that models of equal error would differ at least as much as these two, of which one alone is right on
/// `only_first` images and the other alone on `only_second`: the two-sided binomial test of a fair coin. It is from 0 to 1,
/// and 1 if there are no such images.
pub fn mcnemar(only_first: u64, only_second: u64) -> f64 {
    let (fewer, tosses) = (only_first.min(only_second), only_first + only_second);
    if only_first == only_second {
        return 1.0;
    }
    let largest = at(fewer, tosses);
    let (mut tail, mut term) = (largest, largest);
    for heads in (1..=fewer).rev() {
        term *= heads as f64 / (tosses - heads + 1) as f64;
        tail += term;
        if term <= tail * f64::EPSILON {
            break;
        }
    }
    (2.0 * tail).min(1.0)
}

/// The probability of this many heads in `tosses` of a fair coin.
fn at(heads: u64, tosses: u64) -> f64 {
    let mut halvings = tosses;
    let mut product = 1.0;
    for i in 1..=heads {
        product *= (tosses - heads + i) as f64 / i as f64;
        // The binomial coefficient alone would exceed every float.
        while product > 1.0 && halvings > 0 {
            product /= 2.0;
            halvings -= 1;
        }
    }
    product * (-(halvings as f64)).exp2()
}
