# What the benchmarks of this folder have in common; they source it. `dir` is a folder that goes with the script, KEY what
# callers present, and an upstream that answers every delete is at 127.0.0.1:$UPSTREAM.
readonly KEY=a-key-for-the-benchmark-0123456789 UPSTREAM=18701
readonly GATEWAY=target/release/smh-gateway
dir=$(mktemp -d)
clean_up() {
    local running
    running=$(jobs -p)
    # What has ended by itself needs no signal.
    [[ -z $running ]] || kill $running 2>/dev/null
    wait
    rm -rf "$dir"
}
trap clean_up EXIT

cat > "$dir/nginx.conf" <<END
worker_processes 1; daemon off; pid $dir/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000;
  server { listen 127.0.0.1:$UPSTREAM; location / { default_type application/json; return 200 '{"recycledItemId":1}'; } } }
END
echo acctk-of-the-benchmark > "$dir/token"
echo "$KEY" > "$dir/app.key"
cat > "$dir/delete.lua" <<END
wrk.method = "DELETE"
wrk.path = "/v1/files/t/2025/a.jpg"
wrk.headers["Authorization"] = "Bearer $KEY"
END
nginx -c "$dir/nginx.conf" 2>/dev/null &

# NAME PORT MORE: a gateway's file.
config() {
    cat > "$dir/$1.yaml" <<END
listeners: [{ address: 127.0.0.1:$2 }]
admin: ${ADMIN:-none}
upstream: { url: "http://127.0.0.1:$UPSTREAM" }
libraries: { lib: { token: { file: token } } }
tenants: { t: { library: lib, space: s } }
callers: { app: { api_key: { file: app.key }, tenants: [t] } }
workers: 2
log: { deletes: off }
$3
END
}

# NAME PORT CONNECTIONS SECONDS
load() {
    wrk -t1 -c"$3" -d"${4}s" --latency -s "$dir/delete.lua" "http://127.0.0.1:$2" |
        awk -v name="$1" -v c="$3" '
            /50%/ { p50 = $2 } /99%/ { p99 = $2 } /Requests\/sec/ { rate = $2 } /Non-2xx/ { bad = $NF }
            END { printf "%-8s %4d connections  %9.0f deletes/s  p50 %s  p99 %s  refused %d\n", name, c, rate, p50, p99, bad }'
}
