//! A person with a browser: opens the page a device code names, fills in what it asks, sends it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::Value;

use crate::az::Az;
use crate::deployment::{Deployment, ended_within};
use crate::rest::Rest;

/// A user of the directory, with the password shown once.
pub(crate) struct Person {
    pub(crate) object_id: String,
    pub(crate) user_principal_name: String,
    password: String,
}

impl Person {
    /// Makes a user with `strongroom directory user add`.
    pub(crate) fn add(deployment: &Deployment, name: &str) -> Self {
        let output = deployment.command("directory user add").args([name, "--json"]).output().expect("it starts");
        assert!(output.status.success(), "{}", crate::az::said(&output));
        let user: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
        let text = |name: &str| user[name].as_str().unwrap_or_else(|| panic!("no {name} in the answer")).to_owned();
        Self {
            object_id: text("id"),
            user_principal_name: text("userPrincipalName"),
            password: text("oneTimePassword"),
        }
    }

    /// Signs the CLI in with a device code, and these arguments besides.
    pub(crate) fn sign_in(&self, az: &Az, rest: &Rest, arguments: &[&str]) {
        let tenant = rest.variable("STRONGROOM_TENANT_ID");
        let mut login = az.command(&[&["login", "--use-device-code", "--tenant", tenant], arguments].concat());
        let mut login = login.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("az starts");
        let mut messages = BufReader::new(login.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("enter the code") {
            line.clear();
            assert!(messages.read_line(&mut line).expect("az prints text") > 0, "az ended before it showed a code");
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| words[words.iter().position(|it| *it == word).expect("az's usual sentence") + 1];
        let address = words.iter().find(|word| word.starts_with("https://")).expect("the page's address");
        self.confirm(rest, address, after("code"));
        let status = ended_within(&mut login, std::time::Duration::from_secs(60));
        let mut rest_of_messages = String::new();
        messages.read_to_string(&mut rest_of_messages).expect("az prints text");
        assert!(status.is_some_and(|status| status.success()), "{line}{rest_of_messages}");
    }

    /// Goes through the pages until none asks for anything.
    pub(crate) fn confirm(&self, rest: &Rest, address: &str, code: &str) {
        let mut page = rest.send(&reqwest::Method::GET, address, None, None);
        let mut cookies = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            assert_eq!(page.status, 200, "{page:?}");
            keep_cookies(&page.headers, &mut cookies);
            let Some(form) = Form::on(&page.text) else { return };
            let fields: Vec<_> = form.fields.iter().map(|field| self.fill(field, code)).collect();
            let target =
                reqwest::Url::parse(address).and_then(|base| base.join(&form.action)).expect("a form's address");
            let cookie: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let request = rest.request(reqwest::Method::POST, target.as_str()).form(&fields);
            page = rest.finish(request.header("cookie", cookie.join("; "))).expect("the page answers");
        }
        panic!("after {PAGES_MAX} pages there is still a form: {}", page.text);
    }

    fn fill(&self, field: &Field, code: &str) -> (String, String) {
        let value = match (field.kind.as_str(), field.name.as_str()) {
            ("hidden" | "submit" | "checkbox", _) => field.value.clone(),
            ("password", "passphrase" | "repeated") => NEW_PASSWORD.to_owned(),
            ("password", _) => self.password.clone(),
            (_, name) if name.contains("code") => code.to_owned(),
            _ => self.user_principal_name.clone(),
        };
        (field.name.clone(), value)
    }
}

/// The first form of a page.
struct Form {
    action: String,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    kind: String,
    value: String,
}

impl Form {
    fn on(page: &str) -> Option<Self> {
        let start = page.find("<form")?;
        let text = &page[start..start + page[start..].find("</form>")?];
        let action = attribute(text.split('>').next()?, "action").unwrap_or_default();
        let inputs = text.split('<').filter(|tag| tag.starts_with("input") || tag.starts_with("button"));
        let fields = inputs.filter_map(|tag| {
            let kind = if tag.starts_with("button") { "submit" } else { "text" };
            let kind = attribute(tag, "type").unwrap_or_else(|| kind.to_owned());
            Some(Field { name: attribute(tag, "name")?, kind, value: attribute(tag, "value").unwrap_or_default() })
        });
        let mut fields: Vec<_> = fields.collect();
        // Of several buttons a browser sends the one that was pressed: here the first.
        let mut pressed = false;
        fields.retain(|field| field.kind != "submit" || !std::mem::replace(&mut pressed, true));
        Some(Self { action, fields })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split('"').next()?.replace("&amp;", "&"))
}

fn keep_cookies(headers: &reqwest::header::HeaderMap, cookies: &mut BTreeMap<String, String>) {
    for header in headers.get_all("set-cookie") {
        let text = header.to_str().expect("cookies are text");
        if let Some((name, value)) = text.split(';').next().and_then(|pair| pair.split_once('=')) {
            cookies.insert(name.trim().to_owned(), value.to_owned());
        }
    }
}

#[test]
fn a_form_is_read_as_a_browser_reads_it() {
    let form = Form::on(
        "<form method=\"post\" action=\"/device?a=1&amp;b=2\"><input name=\"user_code\" value=\"\">\
         <input type=\"hidden\" name=\"step\" value=\"2\"><button>Go on</button></form>",
    )
    .expect("there is a form");
    assert_eq!(form.action, "/device?a=1&b=2");
    let fields: Vec<_> = form.fields.iter().map(|it| (it.name.as_str(), it.kind.as_str(), it.value.as_str())).collect();
    assert_eq!(fields, [("user_code", "text", ""), ("step", "hidden", "2")]);
}

const NEW_PASSWORD: &str = "a password of Anna's own, 7 words long";

/// Code, name and password, perhaps a new password, perhaps a question.
const PAGES_MAX: usize = 5;
