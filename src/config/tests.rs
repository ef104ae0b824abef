//! What a configuration may say, and with which sentence the rest is refused.

use super::*;
use crate::facts::Status;
use std::path::Path;

const SESSION: &str = "[[sessions]]\nname = \"main\"\ninstance_id = \"A1\"\naccess_token = { env = \"TOKEN\" }\n\
                       webhook_secret = { env = \"SECRET\" }\n";

fn read(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(text.into(), Path::new("/etc/guard/perimeterd.toml"), env)
}

/// The configuration of one session and what `text` adds.
fn with(text: &str) -> Result<Config, ConfigError> {
    read(&format!("{text}\n{SESSION}"), &[("TOKEN", "t0ken"), ("SECRET", "s3cret")])
}

fn refused(text: &str) -> ConfigError {
    with(text).expect_err(text)
}

#[test]
fn one_session_is_a_whole_configuration() {
    let config = with("").unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(config.server.max_body_bytes, 4 << 20);
    assert_eq!(config.store.path, Path::new("/var/lib/perimeterd/perimeterd.db"));
    assert_eq!(config.policies.dir, Path::new("/etc/guard/policies"));
    assert_eq!(config.limits.len(), crate::action::Class::ALL.len());
    assert_eq!(config.pacing.gap_max, Duration::from_secs(6));
    assert_eq!(config.policies.limits.operations, ScriptLimits::default().operations);
    assert_eq!(config.policies.limits.string_bytes, ScriptLimits::default().string_bytes);
    assert_eq!(config.policies.limits.elements, ScriptLimits::default().elements);
    assert_eq!(config.policies.limits.deadline, ScriptLimits::default().deadline);
    assert!(config.subscriptions.is_none());
    assert_eq!(config.sessions[0].access_token.expose(), Ok("t0ken"));
    assert!(config.secret_problems().is_empty());
    assert!(config.warnings().is_empty());
}

/// How the lines of the example begin that are for a database.
const SQL_LINES: [&str; 4] = ["url = { env = \"SHOP", "query = ", "pool = ", "tls"];

#[test]
fn every_key_for_a_database_in_the_example_is_accepted() {
    let lines = defaults_text().lines().filter_map(|line| line.strip_prefix("# "));
    let sql = lines.filter(|line| SQL_LINES.iter().any(|start| line.starts_with(start)));
    // The file with certificates is read at once, and is not there.
    let sql: String =
        sql.filter(|line| !line.starts_with("tls_ca")).map(|line| format!("{line}\n")).collect();
    let text = format!("[subscriptions]\nsource = \"sql\"\n{sql}\n{SESSION}");
    let config = read(&text, &[("SHOP_DATABASE", "mysql://a:s3cret@db.example/shop")]);
    let subscriptions = config.unwrap_or_else(|error| panic!("{error}")).subscriptions.unwrap();
    let SubscriptionSource::Sql(sql) = &subscriptions.source else { panic!("the source is sql") };
    assert_eq!((sql.pool, sql.tls, sql.secrets().len()), (4, Some(true), 2));
    assert!(!format!("{subscriptions:?}").contains("s3cret"));
}

#[test]
fn tls_is_spoken_with_every_host_but_this_machine() {
    for (url, tls, spoken) in [
        ("postgres://a:b@db.example/shop", "", true),
        ("mysql://a:b@10.0.0.5/shop", "", true),
        ("postgres://a:b@127.0.0.1/shop", "", false),
        ("mysql://a:b@localhost/shop", "tls = \"verify\"", true),
        ("postgres://a:b@db.example/shop", "tls = \"disable\"", false),
        ("postgres:///shop?host=/run/pg&user=a", "tls = \"verify\"", false),
    ] {
        let query = "SELECT status FROM m WHERE p = :phone";
        let section =
            format!("[subscriptions]\nsource = \"sql\"\nurl = \"{url}\"\nquery = \"{query}\"\n{tls}");
        let config = with(&section).unwrap();
        let Some(Subscriptions { source: SubscriptionSource::Sql(sql), .. }) = &config.subscriptions else {
            panic!()
        };
        let Ok(Database::Server(server)) = sql.database() else { panic!("{url}") };
        assert_eq!(sql.speaks_tls(&server.place), spoken, "{url} {tls}");
        // An address without a password is no secret to warn of.
        assert_eq!(config.warnings().len(), usize::from(url.contains(":b@")), "{url}");
    }
}

/// The example with its comments taken away: every key that the design names is read.
#[test]
fn every_key_of_the_example_is_accepted() {
    let bare: String = defaults_text()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with("[[") || rest.starts_with("[allow") || is_assignment(rest) => rest,
            _ => line,
        })
        .filter(|line| {
            let other = ["source = \"file\"", "path = \"subscriptions.csv\""];
            !other.iter().chain(&SQL_LINES).any(|start| line.starts_with(start))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let bare = bare.replace(
        "url = \"https://crm.example/members",
        "source = \"http\"\nurl = \"https://crm.example/members",
    );
    let config = read(&bare, &[("CRM_TOKEN", "x")]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.sessions[0].hmac.as_ref().unwrap().algorithm, HmacAlgorithm::Sha512);
    assert_eq!(config.groups[0].chain[3], ChainLink { policy: "welcome".into(), observe: true });
    assert_eq!(config.groups[0].params["grace_days"], 3);
    assert_eq!(config.group_for("1203630001@g.us").unwrap().name, "club");
    assert!(config.group_for("999@g.us").is_none());
    assert_eq!(config.blacklists[0].path, Path::new("/etc/guard/blacklists/scrapers.txt"));
    assert_eq!(config.allowlist.as_deref(), Some(Path::new("/etc/guard/allowlist.txt")));
    let subscriptions = config.subscriptions.as_ref().unwrap();
    assert_eq!(subscriptions.status_map["paid"], Status::Active);
    let SubscriptionSource::Http { url, headers, pointers, concurrency, .. } = &subscriptions.source else {
        panic!("the source is http");
    };
    assert_eq!((url.as_str(), *concurrency), ("https://crm.example/members/{phone}", 8));
    assert_eq!(headers[0].1.expose(), Ok("x"));
    assert_eq!(pointers[2], "/expires_at");
    assert_eq!(config.outgoing[0].events.len(), 3);
    let us = config.shared_lists[1].url.as_ref().unwrap();
    assert_eq!((us.url.path(), us.refresh), ("/us.list", Duration::from_secs(3600)));
    assert_eq!(config.shared_lists[1].path, Path::new("/var/lib/perimeterd/kept/fetched/us.list"));
    assert_eq!(config.secret_problems().len(), 10, "{:?}", config.secret_problems());
}

#[test]
fn alerts_go_to_a_chat_that_members_do_not_read() {
    let group = "[[groups]]\nname = \"club\"\nmatch = \"120363*@g.us\"\nchain = [\"a\"]\n";
    let told = |chat: &str| with(&format!("[alerts]\n{chat}\n{group}"));
    assert_eq!(told("").unwrap().alerts.window, Duration::from_secs(60));
    let person = told("chat = \"+4915112345678\"").unwrap();
    assert_eq!(person.alerts.chat, Some(AlertsChat::Person(Phone::parse("4915112345678").unwrap())));
    assert!(person.warnings().is_empty());
    assert!(told("chat = \"120363000000000001@g.us\"").unwrap().warnings()[0].contains("club guards"));
    assert!(told("url = \"https://ops.example/x\"").unwrap().warnings()[0].contains("not signed"));
    for (wrong, sentence) in [
        ("chat = \"everybody\"", "must be the id of a group"),
        ("session = \"other\"", "no [[sessions]] block has the name `other`"),
        ("secret = \"x\"", "signs what is posted to `url`"),
    ] {
        assert!(told(wrong).expect_err(wrong).message.contains(sentence), "{wrong}");
    }
}

fn is_assignment(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
}

#[test]
fn an_error_shows_sentence_place_line_and_next_step() {
    let error = refused("[server]\nlisen = \"0.0.0.0:80\"");
    assert_eq!(
        error.to_string(),
        "unknown key `lisen` in [server]; did you mean `listen`?\n\
         /etc/guard/perimeterd.toml:2:1\n     2 | lisen = \"0.0.0.0:80\"\n       | ^^^^^\n\
         Correct it and try again; every key is explained in examples/perimeterd.toml."
    );
}

/// A mistake and its sentence.
const MISTAKES: &[(&str, &str)] = &[
    ("[sever]\n", "unknown key `sever` in the configuration; did you mean `server`?"),
    ("[server]\nlisten = 80", "`listen` must be a string, not an integer"),
    ("[server]\nlisten = \"here\"", "`listen` must be an address and a port, like \"127.0.0.1:8787\""),
    (
        "[server]\ntime_zone = \"Mars\"",
        "`Mars` is not a time zone; names are like \"Europe/Berlin\" or \"UTC\"",
    ),
    ("[server]\nmax_body = \"big\"", "`max_body` must be a size like \"4MiB\" or \"512KiB\""),
    ("[server]\npublic_url = \"guard\"", "`public_url` must be a URL that begins with https:// or http://"),
    (
        "[server]\ntrusted_proxies = [\"caddy\"]",
        "`trusted_proxies` must hold addresses or networks, like \"127.0.0.1\" or \"10.0.0.0/8\"",
    ),
    ("[server]\nmetrics_public = \"yes\"", "`metrics_public` must be true or false, not a string"),
    ("[server]\nlanguage = \"German\"", "`German` is not a language; tags are like \"de\" or \"pt-BR\""),
    (
        "[store]\nurl = \"postgres://x\"",
        "Postgres is not supported yet; use `url = \"sqlite:perimeterd.db\"`",
    ),
    (
        "[wawp]\ntimeout = \"1 fortnight\"",
        "`timeout` must be a duration like \"10s\", \"5m\", \"24h\" or \"30d\"",
    ),
    (
        "[limits]\ndm = [\"20 per minute\"]",
        "`dm` must be a number of calls and a window, like \"5/1h\"; \"0/1d\" is never",
    ),
    ("[limits]\ndm = []", "`dm` has no window, so no ceiling; for never write [\"0/1d\"]"),
    ("[limits]\ndms = [\"1/1m\"]", "unknown key `dms` in [limits]; did you mean `dm`?"),
    ("[pacing]\ngap = \"6s..2s\"", "`gap` runs backwards: 6s is longer than 2s"),
    ("[lists]\nmax_shrink = 20", "`max_shrink` must be a share from 0 to 1, like 0.2"),
    ("[lists]\ndefault_country = \"XX\"", "`XX` is not a country; codes are like \"DE\" or \"BR\""),
    (
        "[[blacklists]]\nname = \"a\"\nurl = \"https://x.example\"\npath = \"a\"",
        "a list has a `path` or a `url`, not both",
    ),
    (
        "[[blacklists]]\nname = \"a\"\nurl = \"https://me:secret@x.example\"",
        "`url` holds a name or a password; put them into `headers`, as a secret",
    ),
    (
        "[[blacklists]]\nname = \"a\"\nurl = \"ftp://x.example\"",
        "`url` must be a URL that begins with https:// or http://",
    ),
    (
        "[[blacklists]]\nname = \"a\"\npath = \"a\"\nrefresh = \"1h\"",
        "`refresh` has no meaning without `url`; remove it",
    ),
    (
        "[[blacklists]]\nname = \"a\"\npath = \"a\"\n[[blacklists]]\nname = \"a\"\npath = \"b\"",
        "two blacklists are named `a`; give each its own name",
    ),
    ("[[blacklists]]\nname = \"a\"", "`path` is missing in [[blacklists]]"),
    (
        "[[groups]]\nname = \"a\"\nmatch = \"club\"\nchain = []",
        "`match` must be a group's id (…@g.us) or a glob like \"1203630*@g.us\"",
    ),
    ("[[groups]]\nname = \"a\"\nchain = [\"\"]", "`chain` must not be empty"),
    ("[[groups]]\nname = \"a\"\nchain = []\nmode = \"dry\"", "`mode` must be \"observe\" or \"enforce\""),
    ("[subscriptions]\nsource = \"sql\"", "`url` is missing in [subscriptions]"),
    (
        "[subscriptions]\nsource = \"sql\"\nurl = \"postgres://a:s3cret@h\"\nquery = \"SELECT 1\"",
        "`url` must name a user and a database, like postgres://user@host/database",
    ),
    (
        "[subscriptions]\nsource = \"sql\"\nurl = \"sqlite:a.db\"\nquery = \"SELECT status FROM a\"",
        "`query` must say whom it asks for: `:phone` (+49…) or `:digits` (49…)",
    ),
    (
        "[subscriptions]\nsource = \"sql\"\nurl = \"sqlite:a.db\"\nquery = \"DELETE FROM a WHERE p = :phone\"",
        "`query` must be a statement that reads: it begins with SELECT or WITH",
    ),
    (
        "[subscriptions]\nsource = \"sql\"\nurl = { env = \"NOT_SET\" }\nquery = \"SELECT s FROM a WHERE p = :fone\"",
        "`query` has an unknown placeholder `:fone`; there are `:phone` (+49…) and `:digits` (49…)",
    ),
    (
        "[subscriptions]\nsource = \"sql\"\nurl = \"sqlite:a.db\"\nquery = \"SELECT s FROM a WHERE p = :phone\"\npool = 100",
        "`pool` must be at most 64",
    ),
    (
        "[subscriptions]\nsource = \"http\"\nurl = \"https://x.example/{phone}\"\nquery = \"SELECT 1\"",
        "`query` has no meaning with `source = \"http\"`; remove it",
    ),
    (
        "[subscriptions]\nsource = \"file\"\npath = \"a\"\nurl = \"https://x.example\"",
        "`url` has no meaning with `source = \"file\"`; remove it",
    ),
    (
        "[subscriptions]\nsource = \"http\"\nurl = \"https://x.example/members\"",
        "`url` must say where the number goes: {phone} (+49…) or {digits} (49…)",
    ),
    (
        "[subscriptions]\nsource = \"file\"\npath = \"a\"\nstatus_map = { paid = \"activ\" }",
        "`activ` is not a status; did you mean `active`?",
    ),
    ("server = 3", "[server] must be a table, not an integer"),
];

#[test]
fn each_mistake_has_its_sentence() {
    for (text, sentence) in MISTAKES {
        let error = refused(text);
        assert_eq!(error.message, *sentence, "{text}");
        assert!(error.line.is_some() && error.snippet.is_some(), "no place for {text}");
    }
}

#[test]
fn a_class_in_the_file_replaces_that_class_alone() {
    let config = with("[limits]\ncold_dm = [\"0/1d\"]").unwrap();
    let never = Window { calls: 0, length: Duration::from_secs(86_400) };
    assert_eq!(config.limits[&crate::action::Class::ColdDm], [never]);
    assert_eq!(config.limits[&crate::action::Class::Dm], with("").unwrap().limits[&crate::action::Class::Dm]);
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let error = refused("[server]\nlisten = ");
    assert!(error.message.starts_with("the file is not valid TOML: "), "{error}");
    assert_eq!(error.line, Some(2), "{error}");
}

#[test]
fn a_session_without_proof_is_refused() {
    let error =
        read("[[sessions]]\nname = \"m\"\ninstance_id = \"A\"\naccess_token = \"t\"", &[]).unwrap_err();
    let sentence = "session `m` has no proof that a webhook is genuine; set `webhook_secret` or `hmac`";
    assert_eq!((error.message.as_str(), error.line), (sentence, Some(1)));
    let error = with(SESSION).unwrap_err();
    assert_eq!(error.message, "two sessions are named `main`; give each its own name");
    let error = read("", &[]).unwrap_err();
    assert_eq!(error.message, "no session is configured, so there is no WhatsApp number to guard with");
}

#[test]
fn the_environment_lies_over_the_file() {
    let text = format!("[server]\nlisten = \"127.0.0.1:1\"\n{SESSION}");
    let config = read(
        &text,
        &[
            ("PERIMETERD__SERVER__LISTEN", "127.0.0.1:2"),
            ("perimeterd__limits__remove", "[\"1/1m\"]"),
            ("PERIMETERD__SESSIONS__0__INSTANCE_ID", "12345"),
            ("PERIMETERD__SERVER__ADMIN_TOKEN", "from-env"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 2);
    let minute = Window { calls: 1, length: Duration::from_secs(60) };
    assert_eq!(config.limits[&crate::action::Class::Remove], [minute]);
    assert_eq!(config.limits[&crate::action::Class::Dm].len(), 2);
    assert_eq!(config.sessions[0].instance_id, "12345");
    assert_eq!(config.server.admin_token.as_ref().unwrap().expose(), Ok("from-env"));
    let error = read(&text, &[("PERIMETERD__SERVER__LISTNE", "x")]).unwrap_err();
    assert_eq!(
        error.message,
        "environment variable PERIMETERD__SERVER__LISTNE: unknown key `listne` in [server]; did you mean `listen`?"
    );
}

#[test]
fn a_secret_never_shows() {
    let text = "[[sessions]]\nname = \"m\"\ninstance_id = \"A\"\naccess_token = \"hunter2\"\nwebhook_secret = \"h2\"";
    let config = read(text, &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
    let broken = text.replace("\"hunter2\"", "\"hunter2\" \"");
    let error = read(&broken, &[]).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = read(&text.replace("\"hunter2\"", "hunter2"), &[]).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn an_unreadable_secret_is_known_and_no_error() {
    let config = read(SESSION, &[("TOKEN", "")]).unwrap();
    assert_eq!(
        config.secret_problems(),
        [
            "[[sessions]] main: `access_token`: environment variable TOKEN is empty; set it",
            "[[sessions]] main: `webhook_secret`: environment variable SECRET is not set; set it",
        ]
    );
}

#[test]
fn secrets_come_from_files_and_credentials() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "abc\n").unwrap();
    let text = SESSION
        .replace("env = \"TOKEN\"", "file = \"token\"")
        .replace("env = \"SECRET\"", "credential = \"token\"");
    let credentials = ("CREDENTIALS_DIRECTORY".to_owned(), folder.path().display().to_string());
    let config = parse(text, &folder.path().join("perimeterd.toml"), [credentials]).unwrap();
    assert_eq!(config.sessions[0].access_token.expose(), Ok("abc"));
    assert_eq!(config.sessions[0].webhook_secret.as_ref().unwrap().expose(), Ok("abc"));
}

#[test]
fn a_missing_file_is_one_sentence() {
    let error = load(Some(Path::new("/nowhere/perimeterd.toml")), []).unwrap_err();
    assert!(
        error.message.starts_with("the configuration /nowhere/perimeterd.toml cannot be read: "),
        "{error}"
    );
}

proptest::proptest! {
    /// A damaged file is refused with a place inside it, or read; never a panic.
    #[test]
    fn a_damaged_file_is_refused_with_a_place(from in 0_usize..9000, length in 0_usize..200, put in "\\PC{0,6}") {
        let whole = defaults_text().replace("\n# ", "\n");
        let start = (0..=from.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap();
        let end = (start + length).min(whole.len());
        let end = (end..=whole.len()).find(|at| whole.is_char_boundary(*at)).unwrap();
        let damaged = format!("{}{put}{}", &whole[..start], &whole[end..]);
        if let Err(error) = read(&damaged, &[]) {
            proptest::prop_assert!(error.line.is_none_or(|line| line <= damaged.lines().count() + 1));
        }
    }
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert!(read(&format!("\u{feff}{SESSION}"), &[]).is_ok());
}

#[test]
fn a_payment_provider_needs_a_kind_and_a_secret() {
    let read = |lines: &str| {
        let block = format!("{SESSION}\n[[payments]]\nname = \"shop\"\n{lines}\n");
        read(&block, &[]).map_err(|error| error.to_string())
    };
    let config = read("kind = \"stripe\"\nsecret = [\"a\", \"b\"]\nleeway = \"2d\"").unwrap();
    let provider = &config.payments[0];
    assert_eq!((provider.secrets.len(), provider.leeway.as_secs()), (2, 2 * 86400));
    assert_eq!((provider.tolerance.as_secs(), provider.phones.len() > 3), (300, true));
    for (lines, why) in [
        ("kind = \"stripe\"", "`secret` is missing"),
        ("kind = \"stripe\"\nsecret = []", "anybody could post"),
        ("kind = \"paypal\"\nsecret = \"a\"", "\"stripe\" or \"woocommerce\""),
        ("kind = \"woocommerce\"\nsecret = \"a\"\ntolerance = \"5m\"", "signs no time"),
        ("kind = \"stripe\"\nsecret = \"a\"\nphone = [\"metadata\"]", "JSON pointers"),
        ("kind = \"stripe\"\nsecret = \"a\"\nsecrets = \"a\"", "did you mean `secret`?"),
    ] {
        let error = read(lines).unwrap_err();
        assert!(error.contains(why), "{lines}: {error}");
    }
}
