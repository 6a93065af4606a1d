# shellcheck shell=sh
# nginx with two workers and a large file of random bytes.
set -e
mkdir -p /srv/www
head -c 64M /dev/urandom >/srv/www/large
cat >/tmp/nginx.conf <<'END'
worker_processes 2;
pid /tmp/nginx.pid;
error_log /tmp/error.log;
daemon off;
events { worker_connections 64; }
http {
  access_log /tmp/access.log;
  keepalive_requests 10000000;
  keepalive_timeout 60s;
  sendfile on;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 7000;
    root /srv/www;
    location /connection { return 200 "$connection $connection_requests $arg_n\n"; }
  }
}
END
exec nginx -e /tmp/error.log -c /tmp/nginx.conf
