//! The smallest ordinary Rust program: who am I. With `each`: once for every line of stdin.
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
    if std::env::args().nth(1).as_deref() != Some("each") {
        return ask(&client).await;
    }
    for _ in std::io::stdin().lines() {
        ask(&client).await;
    }
}

async fn ask(client: &aws_sdk_sts::Client) {
    match client.get_caller_identity().send().await {
        Ok(answer) => println!("arn {}", answer.arn().unwrap_or_default()),
        Err(error) => {
            eprintln!("{}", aws_sdk_sts::error::DisplayErrorContext(&error));
            std::process::exit(1);
        }
    }
}
