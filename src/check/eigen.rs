//! Eigenvalues and eigenvectors of a symmetric matrix of 3x3, by Jacobi's rotations.

/// Sweeps over all pairs; a handful brings any matrix to machine precision.
const SWEEPS: usize = 30;

/// The eigenvalues, the largest first, and the eigenvectors as columns in that order. Of each vector, the largest part (in
/// absolute value) is positive.
pub fn symmetric(mut matrix: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _ in 0..SWEEPS {
        for (row, column) in [(0, 1), (0, 2), (1, 2)] {
            rotate(&mut matrix, &mut vectors, row, column);
        }
    }
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| matrix[b][b].total_cmp(&matrix[a][a]));
    let sign = |column: usize| {
        let parts = vectors.map(|row| row[column]);
        let largest =
            parts.into_iter().fold(0.0, |largest: f64, part| if part.abs() > largest.abs() { part } else { largest });
        largest.signum()
    };
    (order.map(|index| matrix[index][index]), vectors.map(|row| order.map(|column| sign(column) * row[column])))
}

/// Rotates so that the entry in row `p` and column `q`, p < q, becomes 0 (Golub and Van Loan, Matrix Computations, section 8.5).
fn rotate(matrix: &mut [[f64; 3]; 3], vectors: &mut [[f64; 3]; 3], p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let tau = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for row in matrix.iter_mut().chain(vectors.iter_mut()) {
        (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
    }
    let (upper, lower) = matrix.split_at_mut(q);
    for (above, below) in upper[p].iter_mut().zip(&mut lower[0]) {
        (*above, *below) = (cosine * *above - sine * *below, sine * *above + cosine * *below);
    }
}
