use super::*;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Authority { certificate, issuer: Issuer::new(params, key) }
}

fn leaf(authority: &Authority, name: &str) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.signed_by(&key, &authority.issuer).unwrap()
}

fn fingerprint(certificate: &Certificate) -> [u8; 32] {
    Sha256::digest(certificate.der()).into()
}

fn verify(fingerprint: [u8; 32], leaf: &Certificate, chain: &[&Certificate]) -> Option<TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let issuers: Vec<_> = chain.iter().map(|c| c.der().clone()).collect();
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    PinnedAuthority { fingerprint, provider }
        .verify_server_cert(leaf.der(), &issuers, &name, &[], UnixTime::now())
        .err()
}

#[test]
fn a_manager_of_the_pinned_authority_is_believed() {
    let ca = authority();
    let manager = leaf(&ca, SERVER_NAME);
    assert_eq!(verify(fingerprint(&ca.certificate), &manager, &[&ca.certificate]), None);
}

#[test]
fn another_authority_another_name_and_a_missing_authority_are_refused() {
    let (ca, other) = (authority(), authority());
    let pin = fingerprint(&ca.certificate);
    let manager = leaf(&ca, SERVER_NAME);
    assert!(verify(pin, &leaf(&other, SERVER_NAME), &[&other.certificate]).is_some());
    assert!(verify(pin, &leaf(&ca, "somebody-else"), &[&ca.certificate]).is_some());
    assert!(verify(pin, &manager, &[]).is_some());
    assert!(verify([0; 32], &manager, &[&ca.certificate]).is_some());
}

#[test]
fn carrying_the_pinned_certificate_along_does_not_help_an_impostor() {
    let (ca, other) = (authority(), authority());
    let pin = fingerprint(&ca.certificate);
    let forged = leaf(&other, SERVER_NAME);
    assert!(verify(pin, &forged, &[&ca.certificate]).is_some());
    assert!(verify(pin, &forged, &[&other.certificate, &ca.certificate]).is_some());
}

#[test]
fn a_leaf_is_never_its_own_authority() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap();
    assert!(verify(fingerprint(&own), &own, &[&own]).is_some());
    assert!(verify(fingerprint(&own), &own, &[]).is_some());
}

#[test]
fn fingerprints_are_read_as_tools_print_them() {
    let expected = Trust::Fingerprint([0xab; 32]);
    for text in ["ab".repeat(32), "AB:".repeat(31) + "AB", format!("sha256:{}", "aB".repeat(32))] {
        assert_eq!(Trust::parse_fingerprint(&text).unwrap(), expected, "{text}");
    }
    for bad in ["", "ab", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
        assert!(Trust::parse_fingerprint(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_without_a_certificate_is_no_authority() {
    for pem in
        [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        let trust = Trust::Authority(pem.to_vec());
        assert!(matches!(trust.client_config(), Err(TrustError::Authority(_))));
    }
    let good = Trust::Authority(authority().certificate.pem().into_bytes());
    assert_eq!(good.client_config().unwrap().alpn_protocols.len(), 2);
}
