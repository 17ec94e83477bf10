// The peer that the daemon is measured against: a credential server as known tools write theirs in
// Go. The standard mux, a logging wrapper, a check of Authorization, a mutex around the credentials,
// JSON for each request. Prints its port. For the bench only.
package main

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

type credentials struct {
	Code, LastUpdated, Type, AccessKeyId, SecretAccessKey, Token, Expiration, AccountId, RoleArn string
}

type vault struct {
	mu   sync.Mutex
	held credentials
	ends time.Time
}

func (v *vault) get() (credentials, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.held, time.Now().Before(v.ends)
}

func logged(next http.Handler, logger *log.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		next.ServeHTTP(w, r)
		logger.Printf("%s %s %s %s", r.RemoteAddr, r.Method, r.URL.Path, time.Since(begun))
	})
}

func authorized(next http.HandlerFunc, token string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(token)) != 1 {
			http.Error(w, `{"error":"unauthorized"}`, http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func main() {
	token, path := os.Args[1], os.Args[2]
	var held credentials
	if err := json.NewDecoder(os.Stdin).Decode(&held); err != nil {
		log.Fatal(err)
	}
	kept := &vault{held: held, ends: time.Now().Add(time.Hour)}
	mux := http.NewServeMux()
	mux.HandleFunc(path, authorized(func(w http.ResponseWriter, r *http.Request) {
		found, alive := kept.get()
		if !alive {
			http.Error(w, `{"error":"expired"}`, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(found); err != nil {
			log.Print(err)
		}
	}, token))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, logged(mux, log.New(io.Discard, "", log.LstdFlags))))
}
