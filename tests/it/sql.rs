//! Who pays is asked of real databases by the owner's own query. While one cannot say, nobody is put out, the operators
//! are told once, and nobody has to do anything for it to go on.

use crate::{
    databases::{DatabaseServer, Kind, PASSWORD, Session, USER},
    harness::{Bench, Setup, group, person},
};
use perimeterd::simulator::Via;
use serde_json::{Value, json};

/// Even numbers pay, odd ones do not.
const PAYS: u64 = 4915100000700;
const UNPAID: u64 = 4915100000701;

/// What the query asks: everything of the row, and whose it is.
const QUERY: &str = "SELECT * FROM members WHERE digits = :digits";

/// A community whose members are in a database; answers age within a second.
fn setup(url: &str, query: &str) -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: format!(
            r#"
[policies]
fresh_for = "1s"
[subscriptions]
source = "sql"
url = "{url}"
query = """{query}"""
timeout = "1s"
pool = 2
status_map = {{ "wc-active" = "active", "wc-cancelled" = "canceled", "wc-expired" = "canceled", "true" = "active" }}
cache_ttl = "1s"
negative_ttl = "1s"
stale_for = "1h"
"#
        ),
        ..Setup::default()
    }
}

async fn asked(bench: &Bench, number: u64) -> Value {
    bench.api(&format!("subscriptions/+{number}")).await
}

/// Status and end as the daemon knows them, or why it does not.
async fn known(bench: &Bench, number: u64) -> Value {
    let answer = asked(bench, number).await["subscription"].take();
    match answer.get("known") {
        Some(known) => json!([known["value"]["status"], known["value"]["expires_at"]]),
        None => answer["unknown"]["why"].clone(),
    }
}

/// How often an alert of that kind was raised.
async fn alerts(bench: &Bench, kind: &str) -> u64 {
    let alerts = bench.api("alerts").await;
    let of_kind = alerts["alerts"].as_array().unwrap().iter().filter(|alert| alert["kind"] == kind);
    of_kind.map(|alert| alert["count"].as_u64().unwrap()).sum()
}

async fn decisions(bench: &Bench) -> Vec<Value> {
    bench.api("decisions?limit=1000").await["decisions"].as_array().unwrap().clone()
}

/// Somebody comes and is judged.
async fn come_in(bench: &Bench, number: u64) {
    let decided = async || decisions(bench).await.iter().filter(|one| one["state"] == "decided").count();
    let before = decided().await;
    bench.sim.join(&group(), &[person(number)], Via::Link).await;
    bench.until("they are judged", async || decided().await > before).await;
}

/// A table of one row, whose number and end are of some type.
fn table(number: u64, digits: &str, ends: &str, end: &str) -> String {
    format!(
        "DROP TABLE IF EXISTS members;\n\
         CREATE TABLE members (digits {digits}, status VARCHAR(20), plan VARCHAR(20), expires_at {ends});\n\
         INSERT INTO members VALUES ('{number}', 'active', 'gold', {end})"
    )
}

/// 2027-02-01, the first moment of the day, in UTC.
const FEBRUARY: i64 = 1_801_440_000_000;
const DAY: i64 = 86_400_000;

async fn each_end_is_read(bench: &Bench, admin: &mut Session, ends: &[(&str, &str, &str, Value)]) {
    for (n, (digits, kind, end, expected)) in (0..).zip(ends) {
        let number = PAYS + 2 * n;
        admin.run(&table(number, digits, kind, end)).await;
        assert_eq!(known(bench, number).await, json!(["active", expected]), "{kind} {end}");
        assert_eq!(known(bench, number + 1).await, json!(["none", null]), "{kind}: who has no row");
    }
    admin.run("DROP TABLE members").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_postgres_keeps_an_end_is_read() {
    let Some(server) = DatabaseServer::start(Kind::Postgres).await else { return };
    let mut admin = server.session().await;
    let bench = Bench::start(setup(&server.url(), QUERY)).await;
    let ends = [
        ("text", "text", "'2027-02-01T00:00:00Z'", json!(FEBRUARY)),
        ("bigint", "timestamptz", "'2027-02-01 01:00:00+01'", json!(FEBRUARY)),
        ("numeric", "timestamp", "'2027-02-01 00:00:00'", json!(FEBRUARY)),
        ("varchar(20)", "date", "'2027-01-31'", json!(FEBRUARY)),
        ("char(20)", "bigint", "1801440000", json!(FEBRUARY)),
        ("text", "numeric", "1801440000.5", json!(FEBRUARY)),
        ("text", "timestamptz", "NULL", Value::Null),
        ("text", "timestamptz", "'infinity'", Value::Null),
        ("text", "date", "'2027-02-01'", json!(FEBRUARY + DAY)),
    ];
    each_end_is_read(&bench, &mut admin, &ends).await;
    admin
        .run(
            "CREATE TYPE state AS ENUM ('active', 'wc-expired'); \
             CREATE TABLE members (digits text, status state, expires_at date); \
             INSERT INTO members VALUES ('4915100000801', 'wc-expired', NULL)",
        )
        .await;
    assert_eq!(known(&bench, 4915100000801).await, json!(["canceled", null]), "a word of a type of its own");
    admin.run("DROP TABLE members; CREATE TABLE members (digits text, status boolean); INSERT INTO members VALUES ('4915100000803', true)").await;
    assert_eq!(known(&bench, 4915100000803).await, json!(["active", null]), "a word that is true or false");
    admin.run("UPDATE members SET status = false").await;
    let why = || asked(&bench, 4915100000803);
    bench
        .until("the word is told", async || why().await.to_string().contains("name it in `status_map`"))
        .await;
    bench.until("and reported", async || alerts(&bench, "status_word").await == 1).await;
    assert!(bench.api("alerts").await.to_string().contains("`false`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_mariadb_keeps_an_end_is_read() {
    let Some(server) = DatabaseServer::start(Kind::MariaDb).await else { return };
    let mut admin = server.session().await;
    admin.run("USE shop;\nSET time_zone = '+00:00'").await;
    let bench = Bench::start(setup(&server.url(), QUERY)).await;
    let ends = [
        ("VARCHAR(20)", "VARCHAR(40)", "'2027-02-01 00:00:00'", json!(FEBRUARY)),
        ("BIGINT", "TIMESTAMP NULL", "'2027-02-01 00:00:00'", json!(FEBRUARY)),
        ("DECIMAL(20)", "DATETIME", "'2027-02-01 00:00:00'", json!(FEBRUARY)),
        ("BIGINT UNSIGNED", "DATE", "'2027-01-31'", json!(FEBRUARY)),
        ("CHAR(20)", "BIGINT", "1801440000", json!(FEBRUARY)),
        ("TEXT", "DOUBLE", "1801440000.5", json!(FEBRUARY)),
        ("TEXT", "DATETIME", "NULL", Value::Null),
        ("TEXT", "VARCHAR(40)", "'0'", Value::Null),
    ];
    each_end_is_read(&bench, &mut admin, &ends).await;
    admin.run("SET sql_mode = '';\nCREATE TABLE members (digits TEXT, status ENUM('active'), expires_at DATETIME);\nINSERT INTO members VALUES ('4915100000801', 'active', '0000-00-00')").await;
    assert_eq!(known(&bench, 4915100000801).await, json!(["active", null]), "a date of zeros is none");
}

/// What goes wrong, and what mends it.
struct Trouble {
    what: &'static str,
    breaks: String,
    mends: String,
    /// In the sentence that says why.
    why: &'static str,
}

fn trouble(what: &'static str, breaks: &str, mends: &str, why: &'static str) -> Trouble {
    Trouble { what, breaks: breaks.into(), mends: mends.into(), why }
}

/// Troubles that both servers can have.
fn troubles() -> Vec<Trouble> {
    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    let column = |from: &str, to: &str| format!("ALTER TABLE members RENAME COLUMN {from} TO {to}");
    let phones = "UPDATE members SET phone = CONCAT('+', digits)";
    vec![
        trouble("no table", &rename("members", "gone"), &rename("gone", "members"), "refused the query"),
        trouble(
            "no status",
            &column("status", "state"),
            &column("state", "status"),
            "without a column `status`",
        ),
        trouble(
            "an end that is none",
            "UPDATE members SET expires_at = 'soon'",
            "UPDATE members SET expires_at = ''",
            "an `expires_at` that is neither",
        ),
        trouble("somebody else", "UPDATE members SET phone = '+4915199999998'", phones, "for another person"),
    ]
}

/// While `why` holds, two come and stay; afterwards the one who does not pay goes.
async fn nobody_is_removed(bench: &Bench, n: u64, what: &str, why: &str) {
    let (pays, unpaid) = (PAYS + 2 * n, UNPAID + 2 * n);
    come_in(bench, pays).await;
    come_in(bench, unpaid).await;
    let newest = &decisions(bench).await[0];
    assert_eq!(newest["verdict"]["look_again"], true, "{what}: {newest}");
    let told = asked(bench, unpaid).await.to_string();
    assert!(told.contains(why) || told.contains("failed a moment ago"), "{what}: {told}");
    assert!(!bench.removed().contains(&unpaid), "{what}");
}

async fn the_unpaid_is_removed(bench: &Bench, n: u64, what: &str) {
    let unpaid = UNPAID + 2 * n;
    bench.until(&format!("they are judged after: {what}"), async || bench.removed().contains(&unpaid)).await;
}

/// The whole round of troubles with one server; `own` are those that only it has.
async fn whatever_goes_wrong(mut server: DatabaseServer, own: Vec<Trouble>, lock: &str, unlock: &str) {
    let mut admin = server.session().await;
    admin
        .run(
            "CREATE TABLE members (digits VARCHAR(20) PRIMARY KEY, phone VARCHAR(20), status VARCHAR(20), \
             expires_at VARCHAR(40))",
        )
        .await;
    let rows: Vec<String> = (0..30)
        .map(|n| {
            let (number, status) = (PAYS + n, if n % 2 == 0 { "active" } else { "canceled" });
            format!("('{number}', '+{number}', '{status}', '')")
        })
        .collect();
    admin.run(&format!("INSERT INTO members VALUES {}", rows.join(", "))).await;
    let bench = Bench::start(setup(&server.url(), QUERY)).await;
    let mut n = 0;
    for Trouble { what, breaks, mends, why } in troubles().into_iter().chain(own) {
        admin.run(&breaks).await;
        nobody_is_removed(&bench, n, what, why).await;
        admin.run(&mends).await;
        the_unpaid_is_removed(&bench, n, what).await;
        n += 1;
    }
    // A server that hangs: somebody holds the table.
    admin.run(lock).await;
    nobody_is_removed(&bench, n, "slow", "did not answer in time").await;
    admin.run(unlock).await;
    the_unpaid_is_removed(&bench, n, "slow").await;
    n += 1;
    if server.is_ours() {
        bench
            .until("all is told", async || {
                alerts(&bench, "subscriptions").await == alerts(&bench, "subscriptions_over").await
            })
            .await;
        let before = alerts(&bench, "subscriptions").await;
        server.kill();
        nobody_is_removed(&bench, n, "killed", "cannot be reached").await;
        bench.until("the operators are told", async || alerts(&bench, "subscriptions").await > before).await;
        come_in(&bench, PAYS + 100).await;
        server.revive().await;
        the_unpaid_is_removed(&bench, n, "killed").await;
        bench.until("it is over", async || alerts(&bench, "subscriptions_over").await == before + 1).await;
        assert_eq!(alerts(&bench, "subscriptions").await, before + 1, "one alert");
        n += 1;
    }
    bench.settled().await;
    let mut removed = bench.removed();
    removed.sort_unstable();
    let mut expected: Vec<u64> = (0..n).map(|n| UNPAID + 2 * n).collect();
    // Nobody has a row of theirs.
    expected.extend(server.is_ours().then_some(PAYS + 100));
    assert_eq!(removed, expected, "each once, and nobody who pays");
    assert!(!bench.log().contains(PASSWORD), "the password in the log:\n{}", bench.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_with_postgres_nobody_is_removed_and_it_goes_on_by_itself() {
    let Some(server) = DatabaseServer::start(Kind::Postgres).await else { return };
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'");
    let own = vec![
        trouble(
            "wrong password",
            &format!("ALTER ROLE {USER} PASSWORD 'another'; {cut}"),
            &format!("ALTER ROLE {USER} PASSWORD '{PASSWORD}'"),
            "28P01",
        ),
        trouble(
            "no right to read",
            &format!("REVOKE SELECT ON members FROM {USER}"),
            &format!("GRANT SELECT ON members TO {USER}"),
            "42501",
        ),
    ];
    whatever_goes_wrong(server, own, "BEGIN; LOCK TABLE members", "ROLLBACK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_with_mariadb_nobody_is_removed_and_it_goes_on_by_itself() {
    let Some(server) = DatabaseServer::start(Kind::MariaDb).await else { return };
    let password = |word: &str| format!("ALTER USER {USER}@'%' IDENTIFIED BY '{word}'");
    let own = vec![trouble(
        "wrong password",
        &format!("{};\nKILL USER {USER}", password("another")),
        &password(PASSWORD),
        "28000",
    )];
    whatever_goes_wrong(server, own, "LOCK TABLES members WRITE", "UNLOCK TABLES").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closed_are_replaced() {
    for (kind, cut) in [
        (
            Kind::Postgres,
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"),
        ),
        (Kind::MariaDb, format!("KILL USER {USER}")),
    ] {
        let Some(server) = DatabaseServer::start(kind).await else { continue };
        let mut admin = server.session().await;
        admin.run(&table(PAYS, "VARCHAR(20)", "VARCHAR(20)", "NULL")).await;
        let bench = Bench::start(setup(&server.url(), QUERY)).await;
        for n in 0..5 {
            let number = PAYS + 2 * n + 1;
            bench.until("it answers", async || known(&bench, number).await == json!(["none", null])).await;
            admin.run(&cut).await;
        }
        bench.until("it answers", async || known(&bench, PAYS).await == json!(["active", null])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_can_change_nothing_even_where_the_account_may() {
    let Some(server) = DatabaseServer::start(Kind::Postgres).await else { return };
    let mut admin = server.session().await;
    admin
        .run(&format!(
            "{}; GRANT ALL ON members TO {USER}; \
             CREATE FUNCTION harm(text) RETURNS text LANGUAGE sql AS 'DELETE FROM members RETURNING status'",
            table(PAYS, "text", "date", "NULL")
        ))
        .await;
    let bench = Bench::start(setup(&server.url(), "SELECT harm(:digits) AS status")).await;
    let why = known(&bench, PAYS).await;
    assert!(why.as_str().is_some_and(|why| why.contains("25006")), "{why}");
    let Session::Postgres(client) = &admin else { unreachable!() };
    assert_eq!(client.query("SELECT * FROM members", &[]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_is_asked_and_may_be_replaced_or_go() {
    let bench = Bench::prepare(setup("sqlite:shop.db", QUERY)).await;
    let write = |name: &str, sql: &str| {
        let db = rusqlite::Connection::open(bench.path(name)).unwrap();
        db.execute_batch(sql).unwrap();
    };
    let mut bench = {
        write("shop.db", &table(PAYS, "TEXT", "TEXT", "'2027-02-01 00:00:00'"));
        bench
    };
    bench.spawn();
    bench.ready().await;
    assert_eq!(known(&bench, PAYS).await, json!(["active", FEBRUARY]));
    let rename = |from: &str, to: &str| std::fs::rename(bench.path(from), bench.path(to)).unwrap();

    rename("shop.db", "away.db");
    nobody_is_removed(&bench, 1, "no file", "cannot be opened").await;
    assert!(!bench.path("shop.db").exists(), "nothing is made");
    bench.until("the operators are told", async || alerts(&bench, "subscriptions").await == 1).await;
    rename("away.db", "shop.db");
    the_unpaid_is_removed(&bench, 1, "no file").await;
    bench.until("it is over", async || alerts(&bench, "subscriptions_over").await == 1).await;

    std::fs::write(bench.path("bad.db"), "this is no database, however long one looks at it".repeat(40))
        .unwrap();
    rename("shop.db", "away.db");
    rename("bad.db", "shop.db");
    nobody_is_removed(&bench, 2, "no database", "is no SQLite file").await;
    rename("away.db", "shop.db");
    the_unpaid_is_removed(&bench, 2, "no database").await;

    let db = rusqlite::Connection::open(bench.path("shop.db")).unwrap();
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    nobody_is_removed(&bench, 3, "locked", "did not answer in time").await;
    db.execute_batch("ROLLBACK").unwrap();
    the_unpaid_is_removed(&bench, 3, "locked").await;
    db.execute_batch("ALTER TABLE members RENAME TO gone").unwrap();
    nobody_is_removed(&bench, 4, "no table", "no such table: members").await;
}

/// A configuration of the README, with another address.
fn preset(mark: &str, url: &str) -> Setup {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let text =
        readme.split_once(&format!("<!-- {mark} -->\n```toml\n")).expect("it is marked in the README").1;
    let text = text.split("```").next().unwrap();
    let config_extra = text.replace(r#"{ env = "SHOP_DATABASE" }"#, &format!("\"{url}\""));
    assert!(config_extra.contains(url));
    Setup { config_extra, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_presets_for_woocommerce_read_a_shops_own_tables() {
    let Some(server) = DatabaseServer::start(Kind::MariaDb).await else { return };
    let mut admin = server.session().await;
    for (mark, tables) in [("woocommerce", ORDERS), ("woocommerce posts", POSTS)] {
        admin.run(tables).await;
        let bench = Bench::start(preset(mark, &server.url())).await;
        for (number, expected, what) in [
            (4915100000001, json!(["active", null]), "with its plus; without an end"),
            (4915100000002, json!(["canceled", FEBRUARY]), "with spaces; cancelled, paid until then"),
            (4915100000003, json!(["canceled", null]), "with 00; expired"),
            (4915100000004, json!(["none", null]), "an order is no subscription"),
            (4915100000005, json!(["active", null]), "an old one that expired, and one that is active"),
            (4915100000006, json!(["past_due", null]), "on hold"),
            (4915100000007, json!(["none", null]), "nobody"),
        ] {
            assert_eq!(known(&bench, number).await, expected, "{mark}: {what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preset_for_a_plain_table_is_read_in_each_database() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let create =
        readme.split_once("```sql\n").unwrap().1.split("```").next().unwrap().trim().trim_end_matches(';');
    let insert = "INSERT INTO members VALUES ('4915100000001', 'active', 'gold', '2027-01-31')";
    let tables = format!("{create};\n{insert}");
    let is_read = async |bench: &Bench| {
        assert_eq!(known(bench, 4915100000001).await, json!(["active", FEBRUARY]));
        assert_eq!(known(bench, 4915100000002).await, json!(["none", null]));
    };
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(server) = DatabaseServer::start(kind).await else { continue };
        server.session().await.run(&tables).await;
        is_read(&Bench::start(preset("table", &server.url())).await).await;
    }
    let mut bench = Bench::prepare(preset("table", "sqlite:shop.db")).await;
    let db = rusqlite::Connection::open(bench.path("shop.db")).unwrap();
    db.execute_batch(&tables).unwrap();
    bench.spawn();
    bench.ready().await;
    is_read(&bench).await;
}

/// What WooCommerce makes where orders have tables of their own, as far as it matters.
const ORDERS: &str = "
CREATE TABLE wp_wc_orders (id BIGINT UNSIGNED PRIMARY KEY, status VARCHAR(20), currency VARCHAR(10), type VARCHAR(20),
 total_amount DECIMAL(26,8), customer_id BIGINT UNSIGNED, billing_email VARCHAR(320), date_created_gmt DATETIME,
 parent_order_id BIGINT UNSIGNED, KEY type_status_date (type, status, date_created_gmt)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE wp_wc_order_addresses (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, order_id BIGINT UNSIGNED NOT NULL,
 address_type VARCHAR(20), first_name TEXT, last_name TEXT, country TEXT, email VARCHAR(320), phone VARCHAR(100),
 UNIQUE KEY address_type_order_id (address_type, order_id), KEY phone (phone)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE wp_wc_orders_meta (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, order_id BIGINT UNSIGNED, meta_key VARCHAR(255),
 meta_value TEXT, KEY order_id_meta_key_meta_value (order_id, meta_key(100), meta_value(82))) DEFAULT CHARSET=utf8mb4;
INSERT INTO wp_wc_orders (id, status, type) VALUES (11, 'wc-active', 'shop_subscription'),
 (12, 'wc-cancelled', 'shop_subscription'), (13, 'wc-expired', 'shop_subscription'), (14, 'wc-completed', 'shop_order'),
 (15, 'wc-expired', 'shop_subscription'), (16, 'wc-active', 'shop_subscription'), (17, 'wc-on-hold', 'shop_subscription');
INSERT INTO wp_wc_order_addresses (order_id, address_type, phone) VALUES (11, 'billing', '+4915100000001'),
 (12, 'billing', '+49 151 00000002'), (12, 'shipping', '+4915100000007'), (13, 'billing', '004915100000003'),
 (14, 'billing', '+4915100000004'), (15, 'billing', '+4915100000005'), (16, 'billing', '4915100000005'),
 (17, 'billing', '+49 (151) 000-00006');
INSERT INTO wp_wc_orders_meta (order_id, meta_key, meta_value) VALUES (11, '_schedule_end', '0'),
 (11, '_schedule_next_payment', '2027-01-01 00:00:00'), (12, '_schedule_end', '2027-02-01 00:00:00'),
 (13, '_schedule_end', '0'), (15, '_schedule_end', '2026-02-01 00:00:00')
";

/// What it makes where they are posts.
const POSTS: &str = "
CREATE TABLE wp_posts (ID BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, post_author BIGINT UNSIGNED NOT NULL DEFAULT 0,
 post_date DATETIME NOT NULL DEFAULT '2026-01-01', post_title TEXT, post_status VARCHAR(20) NOT NULL DEFAULT 'publish',
 post_parent BIGINT UNSIGNED NOT NULL DEFAULT 0, post_type VARCHAR(20) NOT NULL DEFAULT 'post',
 KEY type_status_date (post_type, post_status, post_date, ID)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE wp_postmeta (meta_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, post_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
 meta_key VARCHAR(255) DEFAULT NULL, meta_value LONGTEXT, KEY post_id (post_id), KEY meta_key (meta_key(191))) DEFAULT CHARSET=utf8mb4;
INSERT INTO wp_posts (ID, post_status, post_type) VALUES (11, 'wc-active', 'shop_subscription'),
 (12, 'wc-cancelled', 'shop_subscription'), (13, 'wc-expired', 'shop_subscription'), (14, 'wc-completed', 'shop_order'),
 (15, 'wc-expired', 'shop_subscription'), (16, 'wc-active', 'shop_subscription'), (17, 'wc-on-hold', 'shop_subscription');
INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (11, '_billing_phone', '+4915100000001'),
 (11, '_schedule_end', '0'), (11, '_schedule_next_payment', '2027-01-01 00:00:00'), (12, '_billing_phone', '+49 151 00000002'),
 (12, '_shipping_phone', '+4915100000007'), (12, '_schedule_end', '2027-02-01 00:00:00'),
 (13, '_billing_phone', '004915100000003'), (13, '_schedule_end', '0'), (14, '_billing_phone', '+4915100000004'),
 (15, '_billing_phone', '+4915100000005'), (15, '_schedule_end', '2026-02-01 00:00:00'),
 (16, '_billing_phone', '4915100000005'), (17, '_billing_phone', '+49 (151) 000-00006')
";
