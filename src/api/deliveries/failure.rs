//! What each failure code means and where to look, in the words of the person who runs the receiver.

use crate::domain::FailureCode;

/// One sentence for `code`.
#[must_use]
pub const fn explain(code: FailureCode) -> &'static str {
    match code {
        FailureCode::Status => "The receiver answered with a status other than 2xx.",
        FailureCode::Redirect => {
            "The receiver answered with a redirect; redirects are never followed: set the final URL."
        }
        FailureCode::DnsFailed => "The host name of the URL could not be resolved.",
        FailureCode::AddressBlocked => {
            "The host resolves to private addresses only, which are not called unless the operator allows it."
        }
        FailureCode::ConnectFailed => "The receiver refused the connection or could not be reached.",
        FailureCode::ConnectTimeout => "The receiver did not take the connection in time.",
        FailureCode::TlsFailed => "No secure connection came about: look at the receiver's certificate.",
        FailureCode::Timeout => "The receiver did not answer in time: answer first, work later.",
        FailureCode::ConnectionLost => "The connection broke before an answer came.",
        FailureCode::ProtocolError => "What the receiver answered is not HTTP.",
        FailureCode::Internal => "The fault is on the sending side; the attempt will be repeated.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_codes_share_a_sentence() {
        let sentences: std::collections::HashSet<_> = FailureCode::ALL.into_iter().map(explain).collect();
        assert_eq!(sentences.len(), FailureCode::ALL.len());
    }
}
