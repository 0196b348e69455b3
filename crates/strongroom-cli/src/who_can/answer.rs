//! What is printed: who can, by which ways, and what a supposition would change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::picture::{Grant, Holders, Picture, Question, Way};

/// One question, answered.
pub(super) struct Answer {
    question: Question,
    now: Holders,
    /// As it would be; `None` if nothing is supposed.
    then: Option<Holders>,
}

impl Answer {
    /// Answers a question, as things are and as they are supposed.
    pub(super) fn of(picture: &Picture, supposed: Option<&Picture>, question: Question) -> Self {
        let then = supposed.map(|supposed| supposed.holders(&question));
        Self { now: picture.holders(&question), then, question }
    }

    /// Who would be able to and is not, and the other way round.
    fn changes(&self) -> (Vec<&str>, Vec<&str>) {
        let Some(then) = &self.then else { return (Vec::new(), Vec::new()) };
        let gained = then.keys().filter(|id| !self.now.contains_key(*id)).map(String::as_str).collect();
        let lost = self.now.keys().filter(|id| !then.contains_key(*id)).map(String::as_str).collect();
        (gained, lost)
    }
}

/// Keeps the first answer, which is about the scope that was asked about, and those below it that say anything else.
pub(super) fn keep_what_differs(answers: Vec<Answer>) -> Vec<Answer> {
    let mut answers = answers.into_iter();
    let Some(first) = answers.next() else { return Vec::new() };
    let below: Vec<_> = answers.filter(|below| (&below.now, &below.then) != (&first.now, &first.then)).collect();
    std::iter::once(first).chain(below).collect()
}

/// Prints answers; only about one principal, if one is named.
pub(super) fn print(picture: &Picture, answers: &[Answer], only: Option<&str>, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout();
    if as_json {
        let all: Vec<_> = answers.iter().map(|answer| as_value(picture, answer, only)).collect();
        writeln!(out, "{:#}", Value::from(all))?;
        return Ok(());
    }
    let of_one_action =
        answers.windows(2).all(|pair| matches!(pair, [one, other] if one.question.action == other.question.action));
    let text = if only.is_none() && of_one_action {
        answers.iter().map(|answer| one_answer(picture, answer)).collect::<Vec<_>>().join("\n")
    } else {
        by_principal(picture, answers, only)
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

fn as_value(picture: &Picture, answer: &Answer, only: Option<&str>) -> Value {
    let wanted = |id: &&str| only.is_none_or(|only| only == *id);
    let ids = answer.now.iter().filter(|(id, _)| wanted(&id.as_str()));
    let holders: Vec<_> = ids.map(|(id, ways)| holder(picture, id, ways)).collect();
    let changes = answer.then.as_ref().map(|_| {
        let (gained, lost) = answer.changes();
        [gained, lost].map(|ids| ids.into_iter().filter(wanted).map(|id| person(picture, id)).collect::<Vec<_>>())
    });
    let [gained, lost] = changes.map_or([Value::Null, Value::Null], |changes| changes.map(Value::from));
    json!({
        "action": answer.question.action,
        "scope": answer.question.scope.as_str(),
        "holders": holders,
        // Null where nothing was supposed.
        "gained": gained,
        "lost": lost,
    })
}

fn holder(picture: &Picture, id: &str, ways: &BTreeSet<Way>) -> Value {
    let mut holder = person(picture, id);
    if let Some(members) = holder.as_object_mut() {
        members.insert("ways".to_owned(), ways.iter().map(|way| way_value(picture, way)).collect());
    }
    holder
}

fn person(picture: &Picture, id: &str) -> Value {
    match picture.principals.get(id).filter(|_| picture.own_tenant) {
        Some(known) => json!({"id": id, "name": known.name, "kind": known.kind, "enabled": known.enabled}),
        None => json!({"id": id, "name": null, "kind": null, "enabled": null}),
    }
}

fn way_value(picture: &Picture, way: &Way) -> Value {
    let of_grant = |grant: &Grant| {
        let Grant { assignment, role, scope, group } = grant;
        json!({"assignment": assignment, "role": role, "scope": scope, "group": group})
    };
    match way {
        Way::Holds(grant) => json!({"way": "holds", "by": of_grant(grant)}),
        Way::Gives(power, grant) => json!({"way": power.words(), "by": of_grant(grant)}),
        Way::ActsAs(other, disguise) => json!({"way": disguise.words(), "as": person(picture, other)}),
    }
}

fn one_answer(picture: &Picture, answer: &Answer) -> String {
    let Question { action, scope, .. } = &answer.question;
    let mut text = format!("{action} at {}\n", scope.as_str());
    if answer.now.is_empty() {
        text.push_str("\n  nobody\n");
    }
    for (id, ways) in &answer.now {
        text.push_str(&format!("\n  {}\n", shown(picture, id)));
        for way in ways {
            text.push_str(&format!("    {}\n", sentence(picture, way)));
        }
    }
    text.push_str(&changes(picture, answer, None));
    text
}

/// For each principal, at each scope, what it can do and by which ways.
fn by_principal(picture: &Picture, answers: &[Answer], only: Option<&str>) -> String {
    type Actions<'a> = BTreeMap<(&'a str, Vec<String>), Vec<&'a str>>;
    let mut people: BTreeMap<&str, Actions<'_>> = BTreeMap::new();
    for answer in answers {
        for (id, ways) in &answer.now {
            let sentences = ways.iter().map(|way| sentence(picture, way)).collect();
            let at = people.entry(id).or_default().entry((answer.question.scope.as_str(), sentences)).or_default();
            at.push(&answer.question.action);
        }
    }
    let mut text = String::new();
    for (id, actions) in people.iter().filter(|(id, _)| only.is_none_or(|only| only == **id)) {
        text.push_str(&format!("{}\n", shown(picture, id)));
        for ((scope, sentences), actions) in actions {
            text.push_str(&format!("\n  at {scope}\n"));
            sentences.iter().for_each(|sentence| text.push_str(&format!("    {sentence}\n")));
            actions.iter().for_each(|action| text.push_str(&format!("      {action}\n")));
        }
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("nothing\n");
    }
    answers.iter().for_each(|answer| text.push_str(&changes(picture, answer, only)));
    text
}

fn changes(picture: &Picture, answer: &Answer, only: Option<&str>) -> String {
    let (gained, lost) = answer.changes();
    let Question { action, scope, .. } = &answer.question;
    let line = |ids: Vec<&str>, words: &str| {
        let wanted = ids.into_iter().filter(|id| only.is_none_or(|only| only == *id));
        wanted.map(|id| format!("{} {words} {action} at {}\n", shown(picture, id), scope.as_str())).collect::<String>()
    };
    let lines = format!("{}{}", line(gained, "would gain"), line(lost, "would lose"));
    match (&answer.then, lines.is_empty()) {
        (Some(_), true) if only.is_none() => format!("\nnobody would gain or lose {action} at {}\n", scope.as_str()),
        (Some(_), false) => format!("\n{lines}"),
        _ => String::new(),
    }
}

fn shown(picture: &Picture, id: &str) -> String {
    match picture.principals.get(id).filter(|_| picture.own_tenant) {
        Some(known) if known.enabled => format!("{} ({}, {id})", known.name, known.kind),
        Some(known) => format!("{} ({}, disabled, {id})", known.name, known.kind),
        None => format!("{id} (not in this directory)"),
    }
}

fn sentence(picture: &Picture, way: &Way) -> String {
    let by = |grant: &Grant| {
        let Grant { assignment, role, scope, group } = grant;
        let named = if assignment.is_empty() { String::new() } else { format!(", assignment {assignment}") };
        let through = group.as_ref().map(|group| format!(", as a member of {}", shown(picture, group)));
        format!("{role} at {scope}{named}{}", through.unwrap_or_default())
    };
    match way {
        Way::Holds(grant) => by(grant),
        Way::Gives(power, grant) => format!("{}: {}", power.words(), by(grant)),
        Way::ActsAs(other, disguise) => format!("{} {}", disguise.words(), shown(picture, other)),
    }
}
