// The smallest ordinary Go v2 program: who am I. With `each`: once for every line of stdin.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	if err := walk(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func walk(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := sts.NewFromConfig(cfg)
	if len(os.Args) < 2 || os.Args[1] != "each" {
		return ask(ctx, client)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := ask(ctx, client); err != nil {
			return err
		}
	}
	return lines.Err()
}

func ask(ctx context.Context, client *sts.Client) error {
	answer, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil {
		fmt.Println("arn", *answer.Arn)
	}
	return err
}
