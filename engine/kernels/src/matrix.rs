//! Matrix products over strided views, by the gemm crate.

use gemm::Parallelism;

/// A matrix seen in a slice: element (row, column) lies at `row * row_step + column * column_step`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_step: usize,
    pub(crate) column_step: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows are contiguous and begin `row_step` apart.
    pub(crate) fn by_rows(values: &'a [f32], [rows, columns]: [usize; 2], row_step: usize) -> Self {
        Self { values, rows, columns, row_step, column_step: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }

    fn lies_inside(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_step + (self.columns - 1) * self.column_step
                < self.values.len()
    }
}

/// Writes `left · right` to `target`, or adds it there.
///
/// `steps` are the distances between rows and between columns of the target. Runs on the calling
/// thread only, so the result does not depend on how many there are.
///
/// # Safety
/// Every element of the target, as reached by `steps`, is valid for reads and writes and is touched
/// by nobody else meanwhile.
pub(crate) unsafe fn multiply(
    target: *mut f32,
    [row_step, column_step]: [usize; 2],
    add: bool,
    left: Matrix<'_>,
    right: Matrix<'_>,
) {
    assert_eq!(left.columns, right.rows, "inner sizes agree");
    assert!(left.lies_inside() && right.lies_inside(), "views lie in their slices");
    // SAFETY: both operands lie in their slices (checked above); the target by the caller's promise.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            target,
            column_step as isize,
            row_step as isize,
            add,
            left.values.as_ptr(),
            left.column_step as isize,
            left.row_step as isize,
            right.values.as_ptr(),
            right.column_step as isize,
            right.row_step as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
