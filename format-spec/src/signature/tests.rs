//! Against the vectors of RFC 8032 and RFC 8410, and what OpenSSL made.

use super::*;
use crate::Digest;
use ed25519_dalek::Signer;

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digits: Vec<u8> = hex.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

/// RFC 8032, section 7.1, tests 1 and 3: private key, public key, message, signature.
const RFC_8032: [[&str; 4]; 2] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
];

#[test]
fn signatures_are_those_of_rfc_8032() {
    for [private, public, message, signature] in RFC_8032 {
        let key = PrivateKey::from_bytes(&bytes(private));
        let message = if message.is_empty() { Vec::new() } else { bytes::<2>(message).to_vec() };
        assert_eq!(key.public().to_bytes(), bytes(public));
        assert!(key.public().verifies(&message, &bytes(signature)));
        assert!(!key.public().verifies(b"another message", &bytes(signature)));
        let signing = ed25519_dalek::SigningKey::from_bytes(&bytes(private));
        assert_eq!(signing.sign(&message).to_bytes(), bytes(signature));
    }
}

/// The example of SPEC 17, whose signature OpenSSL 3.0 made (`openssl pkeyutl -sign -rawin`).
#[test]
fn the_signature_of_a_pack_is_the_one_of_the_specification() {
    let spec = include_str!("../../SPEC.md");
    let section = spec.split("\n## 17. Signatures\n").nth(1).unwrap();
    let shown: String = section.lines().filter(|line| line.starts_with("    ")).collect();
    assert!(
        section.contains("the 33 bytes")
            && section.contains(std::str::from_utf8(&PackId::DOMAIN[..33]).unwrap())
            && PackId::DOMAIN.len() == 34
    );
    let key = PrivateKey::from_bytes(&bytes(RFC_8032[0][0]));
    let id = PackId(Digest(std::array::from_fn(|index| index as u8)));
    let signature = key.sign(id);
    assert_eq!((signature.bytes(), signature.signer()), (&bytes(&shown), key.public().to_bytes()));
    assert_eq!(signature.check(id).unwrap(), key.public());
    assert_eq!(signature.key_id().to_string(), &RFC_8032[0][1][..16]);
    let other = PackId(Digest([7; 32]));
    assert_eq!(signature.check(other), Err(SignatureError::Wrong { signer: key.public().id() }));
}

/// RFC 8410, section 10.3.
const PRIVATE_PEM: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC_PEM: &str =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

#[test]
fn keys_are_read_and_written_as_rfc_8410_has_them() {
    let (private, public) = (PrivateKey::from_pem(PRIVATE_PEM).unwrap(), PublicKey::from_pem(PUBLIC_PEM).unwrap());
    assert_eq!((private.public(), public.id().to_string().as_str()), (public, "19bf44096984cdfe"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let written = private.write(&path).unwrap();
    assert_eq!(written, folder.path().join("key.pub"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), PRIVATE_PEM);
    assert_eq!(std::fs::read_to_string(&written).unwrap(), PUBLIC_PEM);
    assert_eq!((PrivateKey::read(&path).unwrap().public(), PublicKey::read(&written).unwrap()), (public, public));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Neither is overwritten, and nothing is left of an attempt.
    assert!(matches!(private.write(&path), Err(KeyError::Exists { path: found }) if found == path));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(private.write(&path), Err(KeyError::Exists { path: found }) if found == written));
    assert!(!path.exists());
}

#[test]
fn what_is_no_key_is_refused() {
    for text in ["", "-----BEGIN PUBLIC KEY-----", &PRIVATE_PEM.replace("INTu", "INT"), PUBLIC_PEM] {
        assert!(matches!(PrivateKey::from_pem(text), Err(KeyDefect::Private(_))), "{text}");
    }
    // An X25519 key: another algorithm.
    let other = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    for text in ["", PRIVATE_PEM, other] {
        assert!(matches!(PublicKey::from_pem(text), Err(KeyDefect::Public(_))), "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let read = |contents: &[u8]| {
        let path = folder.path().join("key");
        std::fs::write(&path, contents).unwrap();
        match PublicKey::read(&path).unwrap_err() {
            KeyError::Malformed { path: found, source } if found == path => source,
            other => panic!("{other}"),
        }
    };
    assert_eq!(read(&[0xff; 40]), KeyDefect::NotText);
    assert_eq!(read(&[b' '; 20_000]), KeyDefect::TooLong { limit: 16 << 10 });
    assert!(matches!(read(b"no key"), KeyDefect::Public(_)));
    assert!(matches!(PublicKey::read(&folder.path().join("absent")), Err(KeyError::Io { action: "read", .. })));
}

#[test]
fn keys_of_small_order_are_refused() {
    // All points of small order (orders 1, 2, 4, 8), as they are encoded.
    let weak = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for point in weak {
        assert_eq!(PublicKey::from_bytes(&bytes(point)), Err(KeyDefect::Weak), "{point}");
    }
    // For the point of order 1 this "signature" fulfils the equation for every message: R = identity, s = 0.
    let mut forged = [0; 64];
    forged[0] = 1;
    let signature = Signature::new(bytes(weak[0]), forged);
    assert!(matches!(signature.check(PackId(Digest([9; 32]))), Err(SignatureError::Wrong { .. })));
    // y = 2 is no point.
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(PublicKey::from_bytes(&two), Err(KeyDefect::NotAPoint));
}

#[test]
fn a_new_key_is_another_each_time() {
    let keys = [PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap()];
    assert_ne!(keys[0].public(), keys[1].public());
    assert!(!format!("{:?}", keys[0]).contains("SigningKey"));
}
