//! `smooth-l1-mutants DIRECTORY`: puts all mutants of `DIRECTORY/list.json` (`cargo-mutants --list --json`) into
//! the sources there, each behind a test of one number, so that one build serves for all of them. The number
//! comes from the environment, as `MUTANT`; with 0 the program is what it was. Writes the number and the name of
//! each to `mutants.tsv`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proc_macro2::{LineColumn, Span};
use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A range of bytes of a file.
type Place = (usize, usize);

struct Source<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source<'_> {
    /// `column` counts characters from 0.
    fn at(&self, line: usize, column: usize) -> usize {
        let start = self.lines[line - 1];
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i)
    }

    fn place(&self, span: Span) -> Place {
        let at = |end: LineColumn| self.at(end.line, end.column);
        (at(span.start()), at(span.end()))
    }

    /// The place of a mutant.
    fn place_of(&self, mutant: &Value) -> Place {
        let number =
            |end: &str, key: &str| mutant["span"][end][key].as_u64().expect("a number") as usize;
        let at = |end: &str| self.at(number(end, "line"), number(end, "column") - 1);
        (at("start"), at("end"))
    }
}

/// What of a file can be changed.
struct Places<'a> {
    source: &'a Source<'a>,
    /// The operation that an operator is in, up to the next parenthesis: precedence may change with the operator.
    operations: BTreeMap<Place, Place>,
    guards: BTreeSet<Place>,
    /// Of each arm of a match, the end of its pattern, and its guard.
    arms: BTreeMap<Place, (usize, Option<Place>)>,
    /// What the compiler has to know.
    constants: Vec<Place>,
    operation: Option<Place>,
}

impl<'ast> Visit<'ast> for Places<'_> {
    fn visit_expr(&mut self, expr: &'ast syn::Expr) {
        let outer = self.operation.take();
        match expr {
            syn::Expr::Binary(binary) => {
                let whole = outer.unwrap_or_else(|| self.source.place(expr.span()));
                self.operations.insert(self.source.place(binary.op.span()), whole);
                for side in [&binary.left, &binary.right] {
                    self.operation = Some(whole);
                    self.visit_expr(side);
                }
            }
            syn::Expr::Unary(unary) => {
                let whole = self.source.place(expr.span());
                self.operations.insert(self.source.place(unary.op.span()), whole);
                visit::visit_expr(self, expr);
            }
            _ => visit::visit_expr(self, expr),
        }
        self.operation = None;
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| self.source.place(guard.span()));
        self.guards.extend(guard);
        let end = self.source.place(arm.pat.span()).1;
        self.arms.insert(self.source.place(arm.span()), (end, guard));
        visit::visit_arm(self, arm);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constants.push(self.source.place(item.span()));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.constants.push(self.source.place(array.len.span()));
    }
}

/// Texts to be put into a file, each with its offset, in order.
#[derive(Default)]
struct Edits(BTreeSet<(usize, isize, usize, String)>);

impl Edits {
    fn insert(&mut self, at: usize, text: String) {
        self.0.insert((at, 0, self.0.len(), text));
    }

    /// Around an expression, the choice among it and its mutants. Mutants within it are in its last choice
    /// alone: no more than one is alive.
    fn choose(&mut self, place: Place, mutants: &[(usize, String)]) {
        let choices: String =
            mutants.iter().map(|(number, text)| format!("{number} => ({text}), ")).collect();
        // The outer ones begin first and end last.
        let size = (place.1 - place.0) as isize;
        self.0.insert((
            place.0,
            isize::MAX - size,
            0,
            format!("(match crate::mutant() {{ {choices}_ => ("),
        ));
        self.0.insert((place.1, isize::MIN + size, 0, ") })".into()));
    }

    fn apply(&self, text: &str) -> String {
        let mut out = String::new();
        let mut at = 0;
        for (place, _, _, insertion) in &self.0 {
            out += &text[at..*place];
            out += insertion;
            at = *place;
        }
        out + &text[at..]
    }
}

/// Whether the compiler would refuse it: a generic type has no default, and `x as i64 << y` is no shift.
fn is_refused(mutant: &Value, replaced: &str) -> bool {
    let of = |value: &Value| value.as_str().expect("a text").to_owned();
    let result = of(&mutant["function"]["return_type"]);
    let is_generic =
        result.split(|c: char| !c.is_alphanumeric()).any(|word| ["L", "T", "Leaf"].contains(&word));
    of(&mutant["replacement"]).contains("Default::default()") && is_generic
        || mutant["genre"] == "BinaryOperator" && syn::parse_str::<syn::Expr>(replaced).is_err()
}

/// The changed text of a file, with the numbers of the mutants in it.
fn planted(text: &str, mutants: &[(usize, &Value)]) -> (String, Vec<usize>) {
    let lines = [0].into_iter().chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
    let source = Source { text, lines };
    let mut places = Places {
        source: &source,
        operations: BTreeMap::new(),
        guards: BTreeSet::new(),
        arms: BTreeMap::new(),
        constants: Vec::new(),
        operation: None,
    };
    places.visit_file(&syn::parse_file(text).expect("a file of Rust"));
    let mut edits = Edits::default();
    let mut choices: BTreeMap<Place, Vec<(usize, String)>> = BTreeMap::new();
    let mut numbers = Vec::new();
    for &(number, mutant) in mutants {
        let (start, end) = source.place_of(mutant);
        if places.constants.iter().any(|place| place.0 <= start && end <= place.1) {
            continue;
        }
        let replacement = mutant["replacement"].as_str().expect("a text");
        let replaced =
            |(from, to): Place| [&text[from..start], replacement, &text[end..to]].concat();
        let genre = mutant["genre"].as_str().expect("a text");
        let whole = match genre {
            "BinaryOperator" | "UnaryOperator" => places.operations[&(start, end)],
            _ => (start, end),
        };
        if is_refused(mutant, &replaced(whole)) {
            continue;
        }
        numbers.push(number);
        match genre {
            "FnValue" => {
                edits.insert(
                    start,
                    format!(" if crate::mutant() == {number} {{ return {replacement}; }} "),
                );
            }
            "MatchArm" => match places.arms[&whole] {
                (_, Some(guard)) => {
                    edits.insert(guard.0, format!("crate::mutant() != {number} && ("));
                    edits.insert(guard.1, ")".into());
                }
                (end, None) => edits.insert(end, format!(" if crate::mutant() != {number} ")),
            },
            _ => choices.entry(whole).or_default().push((number, replaced(whole))),
        }
    }
    choices.iter().for_each(|(&place, choices)| edits.choose(place, choices));
    (edits.apply(text), numbers)
}

/// For `lib.rs`: the number is there before `main`, and never changes.
const CHOICE: &str = r#"
static mut MUTANT: u32 = 0;
#[inline(always)]
pub fn mutant() -> u32 {
    unsafe { MUTANT }
}
extern "C" fn choose() {
    if let Ok(number) = std::env::var("MUTANT") {
        unsafe { MUTANT = number.parse().unwrap() }
    }
}
#[used]
#[unsafe(link_section = ".init_array")]
static CHOOSE: extern "C" fn() = choose;
"#;

fn main() {
    let directory = std::env::args().nth(1).expect("a directory");
    let path = |name: &str| format!("{directory}/{name}");
    let read = |name: &str| fs::read_to_string(path(name)).expect("a file");
    let write = |name: &str, text: String| fs::write(path(name), text).expect("a file");
    let list: Vec<Value> = serde_json::from_str(&read("list.json")).expect("a list");
    let mut files: BTreeMap<&str, Vec<(usize, &Value)>> = BTreeMap::new();
    for (i, mutant) in list.iter().enumerate() {
        files.entry(mutant["file"].as_str().expect("a file")).or_default().push((i + 1, mutant));
    }
    let mut names = String::new();
    for (file, mutants) in files {
        let (text, numbers) = planted(&read(file), &mutants);
        write(file, text);
        for number in numbers {
            names += &format!("{number}\t{}\n", list[number - 1]["name"].as_str().expect("a name"));
        }
    }
    write("crate/lib.rs", read("crate/lib.rs") + CHOICE);
    println!(
        "{} mutants of {}: the others are in constants, or no Rust",
        names.lines().count(),
        list.len()
    );
    write("mutants.tsv", names);
}
