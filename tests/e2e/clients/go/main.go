// The smallest ordinary Go v2 program: who am I. With `each`: once for every line of stdin. With
// `assume ARN`: for every line become that role, and go on if that is denied.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

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
	if len(os.Args) < 2 {
		return ask(ctx, client)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if os.Args[1] == "assume" {
			fmt.Println(assume(ctx, client, os.Args[2]))
		} else if err := ask(ctx, client); err != nil {
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

func assume(ctx context.Context, client *sts.Client, arn string) string {
	name := "next"
	_, err := client.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: &name})
	if err != nil {
		return "no " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	return "done"
}
