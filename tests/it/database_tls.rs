//! TLS to databases: a certificate that is vouched for connects, any other is unknown and said so, and nothing goes over a
//! network in the clear unless the owner wrote that it may.

use crate::{
    databases::{DatabaseServer, Kind},
    harness::{Bench, Setup, group, person},
};
use perimeterd::simulator::Via;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const PAYS: u64 = 4915100000700;
const UNPAID: u64 = 4915100000701;
const BOTH: [Kind; 2] = [Kind::Postgres, Kind::MariaDb];

/// An authority that the test makes up.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server's certificate for that name, and its key.
    fn vouches_for(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server whose certificate is for `name`, with one who pays.
async fn serve(kind: Kind, authority: &Authority, name: &str) -> Option<DatabaseServer> {
    let (certificate, key) = authority.vouches_for(name);
    let server = DatabaseServer::start_with_tls(kind, &certificate, &key).await?;
    fill(&server).await;
    Some(server)
}

async fn fill(server: &DatabaseServer) {
    let table = format!(
        "CREATE TABLE members (digits VARCHAR(20), status VARCHAR(20));\n\
         INSERT INTO members VALUES ('{PAYS}', 'active')"
    );
    server.session().await.run(&table).await;
}

/// A community whose members are there; `tls` are the keys about it.
fn setup(url: &str, query: &str, tls: &str) -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: format!(
            "[subscriptions]\nsource = \"sql\"\nurl = \"{url}\"\nquery = \"{query}\"\ntimeout = \"2s\"\n{tls}\n"
        ),
        ..Setup::default()
    }
}

const QUERY: &str = "SELECT status FROM members WHERE digits = :digits";

/// Answers only if the connection is encrypted.
fn encrypted(kind: Kind) -> String {
    let is_encrypted = match kind {
        Kind::Postgres => "EXISTS (SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl)",
        Kind::MariaDb => {
            "EXISTS (SELECT 1 FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER' \
             AND VARIABLE_VALUE <> '')"
        }
    };
    format!("{QUERY} AND {is_encrypted}")
}

async fn known(bench: &Bench, number: u64) -> String {
    let answer = bench.api(&format!("subscriptions/+{number}")).await["subscription"].take();
    let status = answer["known"]["value"]["status"].as_str().map(str::to_owned);
    status.unwrap_or_else(|| answer["unknown"]["why"].as_str().unwrap_or_default().to_owned())
}

/// The daemon with an authority's certificate at hand, which it trusts if `tls` says so.
async fn start(authority: &Authority, setup: Setup) -> Bench {
    let mut bench = Bench::prepare(setup).await;
    bench.write("ca.pem", &authority.pem);
    bench.spawn();
    bench.ready().await;
    bench
}

/// Whoever comes stays, and the operators are told why, once.
async fn is_unknown(bench: &Bench, why: &str) {
    bench.sim.join(&group(), &[person(UNPAID)], Via::Link).await;
    bench.until("the operators are told", async || bench.api("alerts").await.to_string().contains(why)).await;
    bench.settled().await;
    assert!(bench.removed().is_empty());
    let told = known(bench, PAYS).await;
    assert!(told.contains(why) || told.contains("failed a moment ago"), "{told}");
    let alerts = bench.metric(r#"perimeterd_alerts_total{kind="subscriptions"}"#).await;
    assert_eq!(alerts, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_authority_that_is_trusted_connects() {
    for kind in BOTH {
        let authority = Authority::new("ours");
        let Some(server) = serve(kind, &authority, "127.0.0.1").await else { continue };
        let tls = "tls = \"verify\"\ntls_ca = \"ca.pem\"";
        let bench = start(&authority, setup(&server.url(), &encrypted(kind), tls)).await;
        assert_eq!(known(&bench, PAYS).await, "active", "{kind:?}");
        bench.sim.join(&group(), &[person(PAYS), person(UNPAID)], Via::Link).await;
        bench.until("who does not pay is out", async || bench.removed() == [UNPAID]).await;
        // The account may go without, and does where that is said.
        let plain = start(&authority, setup(&server.url(), &encrypted(kind), "")).await;
        assert_eq!(known(&plain, PAYS).await, "none", "{kind:?}: in the clear on this machine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_certificate_is_unknown_and_says_what_to_do() {
    for kind in BOTH {
        let authority = Authority::new("ours");
        let Some(server) = serve(kind, &authority, "127.0.0.1").await else { continue };
        let (system, file) = ("tls = \"verify\"", "tls = \"verify\"\ntls_ca = \"ca.pem\"");
        for (trusted, tls) in [("ours", system), ("another", file), ("ours", file)] {
            let bench = start(&Authority::new(trusted), setup(&server.url(), QUERY, tls)).await;
            is_unknown(&bench, "name that in `tls_ca`").await;
        }
        let Some(server) = serve(kind, &authority, "db.example").await else { continue };
        let bench = start(&authority, setup(&server.url(), QUERY, file)).await;
        is_unknown(&bench, "for another name").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_never_asked_in_the_clear_unless_the_owner_says_so() {
    for kind in BOTH {
        let Some(server) = DatabaseServer::start(kind).await else { continue };
        if !server.is_ours() {
            continue;
        }
        fill(&server).await;
        // Leads to this machine, and is none of the names by which the daemon knows it.
        let url = server.url().replace("127.0.0.1", "127.1");
        let authority = Authority::new("ours");
        let bench = start(&authority, setup(&url, QUERY, "")).await;
        is_unknown(&bench, "offers no TLS").await;
        let bench = start(&authority, setup(&url, QUERY, "tls = \"disable\"")).await;
        assert_eq!(known(&bench, PAYS).await, "active", "{kind:?}");
    }
}
