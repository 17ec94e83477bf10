//! The smallest ordinary Rust program: who am I, COUNT times with PAUSE seconds between.
use std::time::Duration;

fn number(index: usize, otherwise: u64) -> u64 {
    std::env::args().nth(index).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(walk());
}

async fn walk() {
    // Everything here speaks plain HTTP to loopback, so the client is built without TLS.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http)
        .load()
        .await;
    let client = aws_sdk_sts::Client::new(&config);
    for call in 0..number(1, 1) {
        if call > 0 {
            tokio::time::sleep(Duration::from_secs(number(2, 0))).await;
        }
        match client.get_caller_identity().send().await {
            Ok(answer) => println!("arn {}", answer.arn().unwrap_or_default()),
            Err(error) => {
                eprintln!("{}", aws_sdk_sts::error::DisplayErrorContext(&error));
                std::process::exit(1);
            }
        }
    }
}
