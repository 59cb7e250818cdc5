//! Text to typed values. Every refusal says what would be accepted.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::problem::Bad;

/// An address and port to listen on; `:8080` means all addresses, `localhost:…` the loopback.
pub fn address(text: &str) -> Result<SocketAddr, Bad> {
    let full = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.replacen("localhost:", "127.0.0.1:", 1),
    };
    full.parse().map_err(|_| {
        Bad::new("not an address and a port", "write IP:PORT, for instance 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080")
    })
}

pub fn path(text: &str) -> Result<PathBuf, Bad> {
    if text.is_empty() { Err(Bad::new("an empty path", "name a file or folder")) } else { Ok(text.into()) }
}

/// A whole number within `range`; `_` may group digits.
pub fn number(text: &str, range: RangeInclusive<u64>) -> Result<u64, Bad> {
    let number = text.replace('_', "").parse::<u64>().map_err(|_| {
        Bad::new("not a whole number", format!("write a number from {} to {}", range.start(), range.end()))
    })?;
    within(number, &range)
}

fn within(number: u64, range: &RangeInclusive<u64>) -> Result<u64, Bad> {
    if range.contains(&number) {
        return Ok(number);
    }
    Err(Bad::new("out of range", format!("write a number from {} to {}", range.start(), range.end())))
}

/// A count of threads; `auto`: one for each processor.
pub fn threads(text: &str) -> Result<usize, Bad> {
    if text == "auto" {
        return Ok(std::thread::available_parallelism().map_or(1, usize::from));
    }
    match number(text, 1..=1_024) {
        Ok(count) => Ok(count as usize),
        Err(bad) => Err(Bad::new(bad.problem, format!("{}, or \"auto\"", bad.remedy))),
    }
}

/// Bytes, plain or with KiB, MiB or GiB.
pub fn bytes(text: &str, range: RangeInclusive<u64>) -> Result<u64, Bad> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(name, factor)| text.strip_suffix(name).map(|digits| (digits.trim_end(), *factor)))
        .unwrap_or((text, 1));
    let count =
        digits.replace('_', "").parse::<u64>().ok().and_then(|count| count.checked_mul(unit)).ok_or_else(|| {
            Bad::new("not a size", "write a number of bytes, or a number with KiB, MiB or GiB, for instance 64MiB")
        })?;
    within(count, &range)
}

pub fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<Duration, Bad> {
    number(text, range).map(Duration::from_secs)
}

pub fn millis(text: &str, range: RangeInclusive<u64>) -> Result<Duration, Bad> {
    number(text, range).map(Duration::from_millis)
}

/// Whole hours, at most a hundred years.
pub fn hours(text: &str) -> Result<Duration, Bad> {
    number(text, 1..=876_000).map(|hours| Duration::from_secs(hours * 3_600))
}

/// Whole days, at most a hundred years.
pub fn days(text: &str) -> Result<Duration, Bad> {
    number(text, 1..=36_500).map(|days| Duration::from_secs(days * 86_400))
}

/// A part of one.
pub fn share(text: &str) -> Result<f64, Bad> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(Bad::new("not a share", "write a number from 0 to 1, for instance 0.2")),
    }
}

pub fn switch(text: &str) -> Result<bool, Bad> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Bad::new("neither true nor false", "write true or false")),
    }
}

/// One of a few words.
pub fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Bad> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Bad::new("not one of the known words", format!("write {}", known.join(" or ")))
    })
}

/// Comma-separated CIDRs, addresses and host names.
pub fn targets(text: &str) -> Result<(Vec<IpNet>, Vec<String>), Bad> {
    let (mut networks, mut hosts) = (Vec::new(), Vec::new());
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        if let Ok(network) = entry.parse::<IpNet>() {
            networks.push(network);
        } else if let Ok(address) = entry.parse::<std::net::IpAddr>() {
            networks.push(address.into());
        } else if is_host_name(entry) {
            hosts.push(entry.to_ascii_lowercase());
        } else {
            return Err(Bad::new(
                format!("{entry:?} is neither a network nor a host name"),
                "write CIDRs and host names with commas between them, without scheme or port: 10.0.0.0/8,n8n.internal",
            ));
        }
    }
    Ok((networks, hosts))
}

/// Letters, digits, `-`, `_` and dots; a last label of digits only is a mistyped address, not a name.
fn is_host_name(text: &str) -> bool {
    let sane = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.split('.').all(sane) && !text.rsplit('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A forward proxy: `http://host:port` and nothing behind it.
pub fn proxy(text: &str) -> Result<String, Bad> {
    let remedy = "write http://host:port";
    let url = url::Url::parse(text).map_err(|error| Bad::new(format!("not a URL: {error}"), remedy))?;
    if url.scheme() != "http" || url.host().is_none() || url.path() != "/" || url.query().is_some() {
        return Err(Bad::new("not the URL of a plain HTTP proxy", remedy));
    }
    Ok(text.to_owned())
}

/// Where a collector takes traces.
pub fn collector(text: &str) -> Result<url::Url, Bad> {
    let remedy = "write http://host:port/path or https://…, for instance http://localhost:4318/v1/traces";
    let url = url::Url::parse(text).map_err(|error| Bad::new(format!("not a URL: {error}"), remedy))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !url.username().is_empty() {
        return Err(Bad::new("not the URL of a collector", remedy));
    }
    Ok(url)
}

/// An admin token: visible ASCII, long enough that guessing is hopeless.
pub fn token(text: &str) -> Result<super::SecretText, Bad> {
    if text.len() < 16 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Bad::new(
            "too short, or with characters that a header cannot carry",
            "use at least 16 visible ASCII characters, for instance the output of `openssl rand -hex 32`",
        ));
    }
    Ok(super::SecretText::new(text))
}

/// `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://`.
pub fn redis(text: &str) -> Result<super::SecretText, Bad> {
    match crate::store::redis::RedisUrl::parse(text) {
        Ok(_) => Ok(super::SecretText::new(text)),
        Err(problem) => Err(Bad::new(
            format!("not a Redis URL: {problem}"),
            "write redis://user:password@host:6379/0, rediss://… for TLS, redis+sentinel://… or redis+cluster://…, or remove the setting",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_with_and_without_units_and_never_overflow() {
        assert_eq!(bytes("64MiB", 0..=u64::MAX), Ok(64 << 20));
        assert_eq!(bytes("2 GiB", 0..=u64::MAX), Ok(2 << 30));
        assert_eq!(bytes("1_000", 0..=u64::MAX), Ok(1_000));
        for bad in ["", "MiB", "-1", "64MB", "99999999999999GiB"] {
            assert!(bytes(bad, 0..=u64::MAX).is_err(), "{bad}");
        }
        assert!(bytes("2KiB", 0..=1_024).is_err());
    }

    #[test]
    fn targets_tell_networks_from_names() {
        let (networks, hosts) = targets("127.0.0.0/8, ::1,N8N.internal,10.1.2.3").expect("valid");
        assert_eq!(networks.len(), 3);
        assert_eq!(hosts, ["n8n.internal"]);
        assert_eq!(targets(""), Ok((vec![], vec![])));
        for bad in ["http://x", "x:80", "10.0.0.0/40", "10.0.0.256", "a..b"] {
            assert!(targets(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shorthand_addresses_are_understood() {
        assert_eq!(address(":80").map(|a| a.to_string()), Ok("0.0.0.0:80".into()));
        assert_eq!(address("localhost:80").map(|a| a.to_string()), Ok("127.0.0.1:80".into()));
        assert!(address("8080").is_err());
    }

    #[test]
    fn a_share_is_not_nan_nor_beyond_one() {
        assert!(share("NaN").is_err() && share("1.1").is_err() && share("-0.1").is_err());
        assert_eq!(share("1"), Ok(1.0));
    }
}
