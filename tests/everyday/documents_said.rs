//! The documents say nothing to type that is not typed in a test.

use std::collections::BTreeSet;

use crate::documents::{How, commands, session};

#[test]
fn what_the_documents_say_to_type_is_typed_or_marked() {
    let said = commands();
    assert!(said.len() > 100, "only {} commands were found", said.len());
    let session = session();
    let typed = session.iter().filter(|step| step.how != How::Prepare);
    let typed: BTreeSet<String> = typed.map(|step| step.command.clone()).collect();
    let untyped: Vec<_> = said.difference(&typed).collect();
    assert!(untyped.is_empty(), "tests/guest/documents.session lacks: {untyped:#?}");
    let unsaid: Vec<_> = typed.difference(&said).collect();
    assert!(unsaid.is_empty(), "no document says what tests/guest/documents.session has: {unsaid:#?}");
    // Most are run, or this would show nothing.
    let left_out = session.iter().filter(|step| matches!(step.how, How::Without(_))).count();
    assert!(left_out * 4 < said.len(), "{left_out} are not run");
}
