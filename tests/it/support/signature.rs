//! The official verifier of Standard Webhooks, applied to what a receiver got.

use pombo::commands::listen::Receipt;
use pombo::domain::Secret;

/// Fails the test when the official library refuses the request.
#[track_caller]
pub fn verify(receipt: &Receipt, secret: &Secret) {
    let webhook = standardwebhooks::Webhook::new(&secret.reveal()).expect("a secret of the library's form");
    if let Err(error) = webhook.verify(&receipt.body, &receipt.headers) {
        panic!("{} refuses {} {:?}: {error}", receipt.path, receipt.webhook_id, receipt.headers);
    }
}
