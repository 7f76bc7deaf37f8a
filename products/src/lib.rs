//! Dot products of all rows of two matrices.
//!
//! A crate of its own, because the product's code is made for every kind of processor and takes minutes to compile.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Dot products of all rows of two row-major matrices of `columns` columns: row `i` of the result, row-major, has the products of row `i` of
/// `left` with every row of `right`.
///
/// On one thread, so that the bits depend on the values and shapes alone. `left` and `right` are values and number of rows.
///
/// ```
/// # use tranchedb_products::products;
/// assert_eq!(products((&[1.0, 2.0, 3.0, 4.0], 2), (&[5.0, 6.0], 1), 2), [17.0, 39.0]);
/// ```
///
/// # Panics
/// Where the values are not as many as rows times columns.
pub fn products((left, rows): (&[f64], usize), (right, others): (&[f64], usize), columns: usize) -> Vec<f64> {
    let mut products = vec![0.0; rows * others];
    matmul(
        MatMut::from_row_major_slice_mut(&mut products, rows, others),
        Accum::Replace,
        MatRef::from_row_major_slice(left, rows, columns),
        MatRef::from_row_major_slice(right, others, columns).transpose(),
        1.0,
        Par::Seq,
    );
    products
}
