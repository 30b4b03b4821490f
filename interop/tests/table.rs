//! The cells of CI: see `lockgate_interop::table` and `docs/interop.md`.

use std::collections::HashSet;

use lockgate_interop::table::{self, Outcome};

/// Missing programs are failures, unless `LOCKGATE_ALLOW_SKIP=1`.
#[test]
fn every_cell_of_the_choice_passes() {
    let lines = table::run_all(&table::choice(), 2, &|_| {});
    println!("{}", table::markdown(&lines));
    let may_skip = std::env::var_os("LOCKGATE_ALLOW_SKIP").is_some_and(|value| value == "1");
    let bad: Vec<_> = lines
        .iter()
        .filter(|line| match line.outcome {
            Outcome::Passed => false,
            Outcome::Failed(_) => true,
            Outcome::NotRun(_) => !(line.missing && may_skip),
        })
        .map(|line| format!("{}: {}", line.cell, line.outcome))
        .collect();
    assert!(
        bad.is_empty(),
        "{}\n{}",
        table::count(&lines),
        bad.join("\n")
    );
}

#[test]
fn the_choice_is_small_and_within_the_product() {
    let (choice, product) = (table::choice(), table::product());
    assert!(choice.len() <= table::MAX_CHOICE);
    let names: HashSet<_> = choice.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), choice.len(), "no cell twice");
    for cell in &choice {
        assert!(product.contains(cell), "{cell}");
        assert_eq!(cell.obstacle(), None, "{cell}");
    }
}
