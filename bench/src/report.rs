//! What was measured, as a table for people and as JSON for programs.

use serde::Serialize;

use crate::machine::Machine;

/// What a figure must not exceed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// So many times the reference.
    Ratio(f64),
    /// So much.
    Value(f64),
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it is held against, and that one's figure in the same run.
    pub reference: Option<(String, f64)>,
    /// The figure by the reference's; a median over rounds, so not always the quotient of the two.
    pub ratio: Option<f64>,
    /// The bar, where there is one.
    pub bar: Option<Bar>,
    /// Whether noise cannot move it: counts and sizes. Missing such a bar is an error whatever the machine does.
    pub firm: bool,
}

impl Row {
    /// A figure that stands alone.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            reference: None,
            ratio: None,
            bar: None,
            firm: false,
        }
    }

    /// Holds it against a reference.
    #[must_use]
    pub fn beside(mut self, reference: impl Into<String>, value: f64, ratio: f64) -> Self {
        self.reference = Some((reference.into(), value));
        self.ratio = Some(ratio);
        self
    }

    /// At most so many times the reference.
    #[must_use]
    pub const fn at_most_times(mut self, bar: f64) -> Self {
        self.bar = Some(Bar::Ratio(bar));
        self
    }

    /// At most so much, on any machine.
    #[must_use]
    pub const fn at_most(mut self, bar: f64) -> Self {
        self.bar = Some(Bar::Value(bar));
        self.firm = true;
        self
    }

    /// At most so much, where noise can have a part in it.
    #[must_use]
    pub const fn at_most_but_for_noise(mut self, bar: f64) -> Self {
        self.bar = Some(Bar::Value(bar));
        self
    }

    /// Whether the bar is met; `None` without one.
    pub fn met(&self) -> Option<bool> {
        Some(match self.bar? {
            Bar::Ratio(bar) => self.ratio? <= bar,
            Bar::Value(bar) => self.value <= bar,
        })
    }
}

/// Figures that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The figures.
    pub rows: Vec<Row>,
    /// What a reader must know about them.
    pub notes: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub sections: Vec<Section>,
}

impl Report {
    /// As JSON.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// As Markdown tables, aligned so that they can be read as they are.
    pub fn markdown(&self) -> String {
        let mut lines = vec![self.machine.to_string()];
        for section in &self.sections {
            lines.extend([
                String::new(),
                format!("### {}", section.title),
                String::new(),
            ]);
            lines.extend(table(section));
            for note in &section.notes {
                lines.extend([String::new(), note.clone()]);
            }
        }
        lines.join("\n") + "\n"
    }

    /// The rows whose bar is missed; only the firm ones, or all.
    pub fn missed(&self, firm_only: bool) -> impl Iterator<Item = &Row> {
        self.sections
            .iter()
            .flat_map(|s| &s.rows)
            .filter(move |row| row.met() == Some(false) && (row.firm || !firm_only))
    }
}

fn table(section: &Section) -> Vec<String> {
    let mut lines = vec![[
        "what".to_owned(),
        "figure".to_owned(),
        "reference".to_owned(),
        "ratio".to_owned(),
        "bar".to_owned(),
    ]];
    for row in &section.rows {
        lines.push([
            row.what.clone(),
            format!("{} {}", number(row.value), row.unit),
            row.reference
                .as_ref()
                .map_or_else(String::new, |(name, value)| {
                    format!("{name}: {}", number(*value))
                }),
            row.ratio.map_or_else(String::new, |r| format!("{r:.2}")),
            bar(row),
        ]);
    }
    let widths: [usize; 5] = std::array::from_fn(|i| {
        lines
            .iter()
            .map(|l| l[i].chars().count())
            .max()
            .unwrap_or(0)
    });
    lines.insert(1, widths.map(|w| "-".repeat(w)));
    lines
        .iter()
        .map(|line| {
            let cells: Vec<String> = line
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            format!("| {} |", cells.join(" | "))
        })
        .collect()
}

fn bar(row: &Row) -> String {
    let verdict = match row.met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => return String::new(),
    };
    match row.bar {
        Some(Bar::Ratio(bar)) => format!("≤ {bar} times: {verdict}"),
        Some(Bar::Value(bar)) => format!("≤ {}: {verdict}", number(bar)),
        None => String::new(),
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract().abs() < 1e-9 {
        let digits = format!("{:.0}", value.abs());
        let mut out = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i) % 3 == 0 {
                out.push(',');
            }
            out.push(digit);
        }
        if value <= -0.5 {
            out.insert(0, '-');
        }
        out
    } else {
        format!("{value:.2}")
    }
}
