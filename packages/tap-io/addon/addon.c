/*
 * The exported functions. Each takes its arguments into clean C values, does its work in another file, and gives back numbers:
 * which step failed and with which errno. Words are TypeScript's business (src/native.ts says what each function takes).
 */
#include "udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>

enum { MOST_ARGUMENTS = 5 };

/* Flags of `open` and `bind`, the same as in src/native.ts. */
enum { FLAG_TUN = 1, FLAG_MULTI_QUEUE = 2, FLAG_VNET = 4, FLAG_UP = 8, FLAG_TUNNELS = 16 };

struct call {
  napi_env env;
  struct instance *at;
  size_t count;
  napi_value args[MOST_ARGUMENTS];
};

static bool begin(napi_env env, napi_callback_info info, struct call *c) {
  void *at;
  c->env = env;
  c->count = MOST_ARGUMENTS;
  if (napi_get_cb_info(env, info, &c->count, c->args, NULL, NULL) != napi_ok) return false;
  if (napi_get_instance_data(env, &at) != napi_ok) return false;
  c->at = at;
  return at != NULL;
}

static napi_value bad(struct call *c, const char *what) {
  napi_throw_type_error(c->env, "ERR_INVALID_ARG_VALUE", what);
  return NULL;
}

static napi_value number(struct call *c, double value) {
  napi_value result;
  return napi_create_double(c->env, value, &result) == napi_ok ? result : NULL;
}

static napi_value integer(struct call *c, int32_t value) {
  napi_value result;
  return napi_create_int32(c->env, value, &result) == napi_ok ? result : NULL;
}

static napi_value boolean(struct call *c, bool value) {
  napi_value result;
  return napi_get_boolean(c->env, value, &result) == napi_ok ? result : NULL;
}

static bool get_u32(struct call *c, size_t i, uint32_t *value) {
  return napi_get_value_uint32(c->env, c->args[i], value) == napi_ok;
}

static bool get_i32(struct call *c, size_t i, int32_t *value) {
  return napi_get_value_int32(c->env, c->args[i], value) == napi_ok;
}

/* A string of fewer than `size` bytes without NUL. */
static bool get_string(struct call *c, size_t i, char *into, size_t size) {
  size_t needed, length;
  if (napi_get_value_string_utf8(c->env, c->args[i], NULL, 0, &needed) != napi_ok || needed >= size) return false;
  return napi_get_value_string_utf8(c->env, c->args[i], into, size, &length) == napi_ok && strlen(into) == needed;
}

static bool is_null(struct call *c, size_t i) {
  napi_valuetype type;
  return napi_typeof(c->env, c->args[i], &type) == napi_ok && (type == napi_null || type == napi_undefined);
}

/* A path, or null for none: `*path` then is NULL. */
static bool get_path(struct call *c, size_t i, char buffer[PATH_SIZE], const char **path) {
  *path = is_null(c, i) ? NULL : buffer;
  return *path == NULL || get_string(c, i, buffer, PATH_SIZE);
}

/* The memory of a typed array of `type` with at least `length` elements. */
static bool get_array(napi_env env, napi_value value, napi_typedarray_type type, size_t length, void *into, size_t *actual) {
  bool is;
  napi_typedarray_type found;
  size_t n;
  void *memory;
  if (napi_is_typedarray(env, value, &is) != napi_ok || !is) return false;
  if (napi_get_typedarray_info(env, value, &found, &n, &memory, NULL, NULL) != napi_ok) return false;
  if (found != type || n < length || (n > 0 && memory == NULL)) return false;
  memcpy(into, &memory, sizeof memory);
  if (actual != NULL) *actual = n;
  return true;
}

static bool get_bytes(struct call *c, size_t i, size_t length, uint8_t **into, size_t *actual) {
  return get_array(c->env, c->args[i], napi_uint8_array, length, into, actual);
}

static struct handle *get_handle(struct call *c, enum kind kind) {
  uint32_t n;
  return get_u32(c, 0, &n) ? handle_get(c->at, n, kind) : NULL;
}

/* A handle that frames are read from and written to. */
static struct handle *get_port(struct call *c) {
  static const enum kind ports[] = {TAP, UDP, PACKET};
  struct handle *h = NULL;
  for (size_t i = 0; i < sizeof ports / sizeof ports[0] && h == NULL; i++) h = get_handle(c, ports[i]);
  return h;
}

static void set(struct call *c, napi_value object, const char *key, napi_value value) {
  if (value != NULL) napi_set_named_property(c->env, object, key, value);
}

static void set_string(struct call *c, napi_value object, const char *key, const char *text) {
  napi_value value;
  if (napi_create_string_utf8(c->env, text, NAPI_AUTO_LENGTH, &value) == napi_ok) set(c, object, key, value);
}

static napi_value result_object(struct call *c, struct outcome o) {
  napi_value object;
  if (napi_create_object(c->env, &object) != napi_ok) return NULL;
  set(c, object, "step", integer(c, o.step));
  set(c, object, "errno", integer(c, o.error));
  return object;
}

/* ---- Devices ---- */

static napi_value open_device(napi_env env, napi_callback_info info) {
  struct call c;
  struct device_request q;
  char path[PATH_SIZE];
  uint32_t flags;
  if (!begin(env, info, &c)) return NULL;
  memset(&q, 0, sizeof q);
  uint8_t *mac = NULL;
  int32_t mtu, persist;
  /* open(netns, name, flags, mac, [mtu, persist, queueLength]) */
  if (!get_path(&c, 0, path, &q.netns)) return bad(&c, "open: netns");
  if (!get_string(&c, 1, q.name, IFNAMSIZ)) return bad(&c, "open: name");
  if (!get_u32(&c, 2, &flags)) return bad(&c, "open: flags");
  q.set_mac = !is_null(&c, 3);
  if (q.set_mac && !get_bytes(&c, 3, MAC_SIZE, &mac, NULL)) return bad(&c, "open: mac");
  int32_t *numbers;
  if (!get_array(env, c.args[4], napi_int32_array, 3, &numbers, NULL)) return bad(&c, "open: numbers");
  mtu = numbers[0];
  persist = numbers[1];
  q.queue_length = numbers[2];
  if (mac != NULL) memcpy(q.mac, mac, MAC_SIZE);
  q.tun = (flags & FLAG_TUN) != 0;
  q.multi_queue = (flags & FLAG_MULTI_QUEUE) != 0;
  q.vnet = (flags & FLAG_VNET) != 0;
  q.tunnels = (flags & FLAG_TUNNELS) != 0;
  q.up = (flags & FLAG_UP) != 0;
  q.mtu = mtu;
  q.persist = persist;
  device_open(&q);
  int32_t handle = -1;
  if (q.outcome.error == 0 && (handle = handle_new(c.at, TAP, q.fd)) < 0) q.outcome = (struct outcome){STEP_MEMORY, ENOMEM};
  if (handle >= 0) {
    struct handle *h = handle_get(c.at, (uint32_t)handle, TAP);
    h->tun = q.tun;
    h->header = q.header;
    if (!handle_show(h)) {
      q.outcome = (struct outcome){STEP_TUN_OPEN, errno};
      handle_close(env, c.at, (uint32_t)handle);
      handle = -1;
    }
  }
  napi_value object = result_object(&c, q.outcome);
  if (object == NULL || handle < 0) return object;
  set(&c, object, "handle", integer(&c, handle));
  set(&c, object, "fd", integer(&c, q.fd));
  set_string(&c, object, "name", q.name);
  set(&c, object, "offloads", number(&c, q.offloads));
  set(&c, object, "header", integer(&c, (int32_t)q.header));
  return object;
}

/* bind(handle, frames, stride, frameSize, arrays): the columns stay where they are and alive until the handle is closed. */
static napi_value bind_pool(napi_env env, napi_callback_info info) {
  static const struct {
    napi_typedarray_type type;
    size_t place;
  } columns[ARRAYS] = {
      {napi_uint8_array, offsetof(struct pool, bytes)},        {napi_uint32_array, offsetof(struct pool, off)},
      {napi_uint32_array, offsetof(struct pool, len)},         {napi_uint8_array, offsetof(struct pool, flags)},
      {napi_uint8_array, offsetof(struct pool, gso_type)},     {napi_uint16_array, offsetof(struct pool, gso_size)},
      {napi_uint16_array, offsetof(struct pool, hdr_len)},     {napi_uint16_array, offsetof(struct pool, csum_start)},
      {napi_uint16_array, offsetof(struct pool, csum_offset)}, {napi_uint16_array, offsetof(struct pool, outer_l4)},
      {napi_uint16_array, offsetof(struct pool, inner_l3)},    {napi_uint32_array, offsetof(struct pool, rows)},
      {napi_int32_array, offsetof(struct pool, result)},
  };
  struct call c;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_port(&c);
  if (h == NULL || h->pool.bound) return bad(&c, "bind: handle");
  struct pool t = h->pool;
  if (!get_u32(&c, 1, &t.frames) || !get_u32(&c, 2, &t.stride) || !get_u32(&c, 3, &t.frame_size)) {
    return bad(&c, "bind: sizes");
  }
  enum { ROWS = ARRAYS - 2 };
  size_t capacity = 0, results = 0;
  for (uint32_t i = 0; i < ARRAYS; i++) {
    napi_value value;
    size_t n;
    const bool column = i > 0 && i < ROWS;
    if (napi_get_element(env, c.args[4], i, &value) != napi_ok) return bad(&c, "bind: arrays");
    if (!get_array(env, value, columns[i].type, column ? t.frames : 0, (char *)&t + columns[i].place, &n)) {
      return bad(&c, "bind: array");
    }
    if (i == 0) t.size = n;
    if (i == ROWS) capacity = n;
    if (i == ROWS + 1) results = n;
  }
  if (t.frames == 0 || t.stride == 0 || (uint64_t)t.frames * t.stride > t.size) return bad(&c, "bind: arena too small");
  if (capacity == 0 || capacity > 65536 || results < capacity + RESULT_STATUS) return bad(&c, "bind: rows or results");
  t.capacity = (uint32_t)capacity;
  for (uint32_t i = 0; i < ARRAYS; i++) {
    napi_value value;
    if (napi_get_element(env, c.args[4], i, &value) != napi_ok ||
        napi_create_reference(env, value, 1, &t.refs[i]) != napi_ok) {
      for (uint32_t k = 0; k < i; k++) napi_delete_reference(env, t.refs[k]);
      return bad(&c, "bind: references");
    }
  }
  t.bound = true;
  h->pool = t;
  return NULL;
}

/* What a batch is done by, for each kind of port. */
typedef uint32_t batch_work(struct handle *, uint32_t);

static napi_value batch(napi_env env, napi_callback_info info, batch_work *tap, batch_work *udp, batch_work *packet) {
  struct call c;
  uint32_t count;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_port(&c);
  if (h == NULL || !h->pool.bound) return bad(&c, "batch: handle");
  if (!get_u32(&c, 1, &count)) return bad(&c, "batch: count");
  return integer(&c, (int32_t)(h->kind == TAP ? tap : h->kind == UDP ? udp : packet)(h, count));
}

static napi_value read_batch(napi_env env, napi_callback_info info) {
  return batch(env, info, frames_read, udp_read, packet_read);
}

static napi_value write_batch(napi_env env, napi_callback_info info) {
  return batch(env, info, frames_write, udp_write, packet_write);
}

static napi_value discard_batch(napi_env env, napi_callback_info info) {
  return batch(env, info, frames_discard, udp_discard, packet_discard);
}

static napi_value get_info(napi_env env, napi_callback_info info) {
  struct call c;
  struct device_info d;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, TAP);
  if (h == NULL) return bad(&c, "info: handle");
  memset(&d, 0, sizeof d);
  struct outcome o = device_info(h->fd, &d);
  napi_value object = result_object(&c, o);
  if (object == NULL || o.error != 0) return object;
  napi_value mac, buffer;
  void *memory;
  if (napi_create_arraybuffer(env, MAC_SIZE, &memory, &buffer) == napi_ok) {
    memcpy(memory, d.mac, MAC_SIZE);
    if (napi_create_typedarray(env, napi_uint8_array, MAC_SIZE, buffer, 0, &mac) == napi_ok) set(&c, object, "mac", mac);
  }
  set_string(&c, object, "name", d.name);
  set(&c, object, "tunFlags", number(&c, d.tun_flags));
  set(&c, object, "index", integer(&c, d.index));
  set(&c, object, "mtu", integer(&c, d.mtu));
  set(&c, object, "queueLength", integer(&c, d.queue_length));
  set(&c, object, "up", boolean(&c, d.up));
  return object;
}

static napi_value set_mac(napi_env env, napi_callback_info info) {
  struct call c;
  uint8_t *mac;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, TAP);
  if (h == NULL || !get_bytes(&c, 1, MAC_SIZE, &mac, NULL)) return bad(&c, "setMac");
  return result_object(&c, device_set_mac(h->fd, mac));
}

static napi_value set_mtu(napi_env env, napi_callback_info info) {
  struct call c;
  int32_t mtu;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, TAP);
  if (h == NULL || !get_i32(&c, 1, &mtu)) return bad(&c, "setMtu");
  return result_object(&c, device_set_mtu(h->fd, mtu));
}

static napi_value set_flag(napi_env env, napi_callback_info info, struct outcome (*work)(int, bool)) {
  struct call c;
  bool on;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, TAP);
  if (h == NULL || napi_get_value_bool(env, c.args[1], &on) != napi_ok) return bad(&c, "flag");
  return result_object(&c, work(h->fd, on));
}

static napi_value set_up(napi_env env, napi_callback_info info) {
  return set_flag(env, info, device_set_up);
}

static napi_value set_persist(napi_env env, napi_callback_info info) {
  return set_flag(env, info, device_set_persist);
}

static napi_value move(napi_env env, napi_callback_info info) {
  struct call c;
  char path[PATH_SIZE];
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, TAP);
  if (h == NULL || !get_string(&c, 1, path, sizeof path)) return bad(&c, "move");
  return result_object(&c, device_move(h->fd, path));
}

static napi_value check(napi_env env, napi_callback_info info) {
  struct call c;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_port(&c);
  if (h == NULL) return bad(&c, "check");
  const int error = h->kind == TAP ? device_check(h->fd) : h->kind == PACKET ? packet_check(h->fd) : udp_check(h);
  return integer(&c, error != 0 ? error : handle_shown(h));
}

static napi_value close_handle(napi_env env, napi_callback_info info) {
  struct call c;
  uint32_t n;
  if (!begin(env, info, &c)) return NULL;
  if (!get_u32(&c, 0, &n) || n >= c.at->size || c.at->table[n] == NULL) return bad(&c, "close: handle");
  handle_close(env, c.at, n);
  return NULL;
}

static napi_value close_all(napi_env env, napi_callback_info info) {
  struct call c;
  uint32_t *numbers;
  size_t count;
  if (!begin(env, info, &c)) return NULL;
  if (!get_array(env, c.args[0], napi_uint32_array, 0, &numbers, &count)) return bad(&c, "closeAll: handles");
  handle_close_all(env, c.at, numbers, count);
  return NULL;
}

/* ---- Packet sockets ---- */

/* openPacket(netns, device, [flags, fanout, buffer]). */
enum { PACKET_EVERYTHING = 1 };

static napi_value open_packet(napi_env env, napi_callback_info info) {
  struct call c;
  struct packet_request q;
  char path[PATH_SIZE];
  int32_t *numbers;
  if (!begin(env, info, &c)) return NULL;
  memset(&q, 0, sizeof q);
  if (!get_path(&c, 0, path, &q.netns)) return bad(&c, "openPacket: netns");
  if (!get_string(&c, 1, q.device, IFNAMSIZ)) return bad(&c, "openPacket: device");
  if (!get_array(env, c.args[2], napi_int32_array, 3, &numbers, NULL)) return bad(&c, "openPacket: numbers");
  q.promiscuous = (numbers[0] & PACKET_EVERYTHING) != 0;
  q.fanout = numbers[1];
  q.buffer = numbers[2];
  if (q.buffer < 0) return bad(&c, "openPacket: buffer");
  packet_open(&q);
  int32_t handle = -1;
  if (q.outcome.error == 0 && (handle = handle_new(c.at, PACKET, q.fd)) < 0) {
    q.outcome = (struct outcome){STEP_MEMORY, ENOMEM};
  }
  if (handle >= 0) {
    struct handle *h = handle_get(c.at, (uint32_t)handle, PACKET);
    h->header = PACKET_HEADER;
    if (!handle_show(h)) {
      q.outcome = (struct outcome){STEP_PACKET, errno};
      handle_close(env, c.at, (uint32_t)handle);
      handle = -1;
    }
  }
  napi_value object = result_object(&c, q.outcome);
  if (object == NULL || handle < 0) return object;
  set(&c, object, "handle", integer(&c, handle));
  set(&c, object, "fd", integer(&c, q.fd));
  set(&c, object, "index", integer(&c, q.index));
  char mac[18];
  snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", q.mac[0], q.mac[1], q.mac[2], q.mac[3], q.mac[4], q.mac[5]);
  set_string(&c, object, "mac", mac);
  return object;
}

/* ---- UDP sockets ---- */

/* openUdp(netns, address, device, numbers, groups): numbers are port, sockets, flags, TTL, buffer size, what is inside and its MTU;
 * groups has 16 bytes for each multicast group. Bits of flags: what is wanted. */
enum { UDP_CHECKSUMS = 1, UDP_ZERO_CHECKSUM = 2, UDP_DONT_FRAGMENT = 4, UDP_SEGMENTS = 8, UDP_TRAINS = 16, UDP_MERGES = 32 };

static napi_value open_udp(napi_env env, napi_callback_info info) {
  struct call c;
  struct udp_request q;
  char path[PATH_SIZE], address[INET6_ADDRSTRLEN];
  int32_t *numbers;
  uint8_t *groups;
  size_t group_bytes;
  uint16_t ports[UDP_SOCKETS];
  if (!begin(env, info, &c)) return NULL;
  memset(&q, 0, sizeof q);
  if (!get_path(&c, 0, path, &q.netns)) return bad(&c, "openUdp: netns");
  if (!get_string(&c, 1, address, sizeof address)) return bad(&c, "openUdp: address");
  q.family = strchr(address, ':') != NULL ? 6 : 4;
  if (inet_pton(q.family == 6 ? AF_INET6 : AF_INET, address, q.address) != 1) return bad(&c, "openUdp: address");
  if (!get_string(&c, 2, q.device, IFNAMSIZ)) return bad(&c, "openUdp: device");
  if (!get_array(env, c.args[3], napi_int32_array, 7, &numbers, NULL)) return bad(&c, "openUdp: numbers");
  if (!get_bytes(&c, 4, 0, &groups, &group_bytes) || group_bytes > 16 * 1024) return bad(&c, "openUdp: groups");
  if (numbers[0] < 0 || numbers[0] > 65535 || numbers[1] < 1 || numbers[1] > 64) return bad(&c, "openUdp: numbers");
  if (numbers[3] < 1 || numbers[3] > 255 || numbers[4] < 0 || numbers[6] < 68 || numbers[6] > 65535) return bad(&c, "openUdp: numbers");
  const int flags = numbers[2];
  q.port = (uint16_t)numbers[0];
  q.count = (uint32_t)numbers[1];
  q.checksum = (flags & UDP_CHECKSUMS) != 0;
  q.zero_checksum = (flags & UDP_ZERO_CHECKSUM) != 0;
  q.dont_fragment = (flags & UDP_DONT_FRAGMENT) != 0;
  q.segment = (flags & UDP_SEGMENTS) != 0;
  q.gro = (flags & UDP_TRAINS) != 0;
  q.merge = (flags & UDP_MERGES) != 0;
  q.ttl = numbers[3];
  q.buffer = numbers[4];
  q.inside = numbers[5];
  q.inner_mtu = numbers[6];
  q.group = groups;
  q.groups = (uint32_t)(group_bytes / 16);
  q.ports = ports;
  udp_open(&q);
  int32_t handle = -1;
  if (q.outcome.error == 0 && (handle = handle_new(c.at, UDP, q.fd)) < 0) {
    udp_free(q.udp, false);
    q.outcome = (struct outcome){STEP_MEMORY, ENOMEM};
  }
  if (handle >= 0) {
    struct handle *h = handle_get(c.at, (uint32_t)handle, UDP);
    h->udp = q.udp;
    if (!handle_show(h)) {
      q.outcome = (struct outcome){STEP_SOCKET, errno};
      handle_close(env, c.at, (uint32_t)handle);
      handle = -1;
    } else q.udp->sockets[0] = h->fd;
  }
  napi_value object = result_object(&c, q.outcome), list;
  if (object == NULL || handle < 0) return object;
  set(&c, object, "handle", integer(&c, handle));
  set(&c, object, "fd", integer(&c, q.fd));
  set(&c, object, "flags", integer(&c, (q.segment ? UDP_SEGMENTS : 0) | (q.gro ? UDP_TRAINS : 0) | (q.merge ? UDP_MERGES : 0)));
  if (napi_create_array_with_length(env, q.count, &list) != napi_ok) return object;
  for (uint32_t i = 0; i < q.count; i++) napi_set_element(env, list, i, integer(&c, ports[i]));
  set(&c, object, "ports", list);
  return object;
}

/* ---- Waiting ---- */

static napi_value waiter(napi_env env, napi_callback_info info) {
  struct call c;
  if (!begin(env, info, &c)) return NULL;
  int fd = waiter_create();
  if (fd < 0) return integer(&c, -errno);
  int32_t handle = handle_new(c.at, WAITER, fd);
  return integer(&c, handle < 0 ? -ENOMEM : handle);
}

static napi_value waiter_fd(napi_env env, napi_callback_info info, int (*work)(int, int)) {
  struct call c;
  int32_t fd;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, WAITER);
  if (h == NULL || !get_i32(&c, 1, &fd)) return bad(&c, "waiter");
  return integer(&c, work(h->fd, fd));
}

static napi_value add_fd(napi_env env, napi_callback_info info) {
  return waiter_fd(env, info, waiter_add);
}

static napi_value remove_fd(napi_env env, napi_callback_info info) {
  return waiter_fd(env, info, waiter_remove);
}

static napi_value list_errors(napi_env env, napi_callback_info info) {
  struct call c;
  int32_t *fds;
  size_t max;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, WAITER);
  if (h == NULL || !get_array(env, c.args[1], napi_int32_array, 1, &fds, &max)) return bad(&c, "errors");
  return integer(&c, (int32_t)waiter_errors(h->fd, fds, (uint32_t)max));
}

static napi_value idle(napi_env env, napi_callback_info info) {
  struct call c;
  double spin, sleep;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, WAITER);
  if (h == NULL || napi_get_value_double(env, c.args[1], &spin) != napi_ok ||
      napi_get_value_double(env, c.args[2], &sleep) != napi_ok || !(spin >= 0 && spin <= 1e9) ||
      !(sleep >= 0 && sleep <= 1e12)) {
    return bad(&c, "idle");
  }
  return boolean(&c, waiter_idle(h->fd, (uint64_t)spin, (uint64_t)sleep));
}

static napi_value watch(napi_env env, napi_callback_info info) {
  struct call c;
  napi_valuetype type;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, WAITER);
  if (h == NULL || h->watch != NULL || napi_typeof(env, c.args[1], &type) != napi_ok || type != napi_function) {
    return bad(&c, "watch");
  }
  h->watch = watch_start(env, h->fd, c.args[1]);
  return boolean(&c, h->watch != NULL);
}

static napi_value pause_watch(napi_env env, napi_callback_info info) {
  struct call c;
  bool on;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, WAITER);
  if (h == NULL || h->watch == NULL || napi_get_value_bool(env, c.args[1], &on) != napi_ok) return bad(&c, "pause");
  watch_pause(h->watch, on);
  return NULL;
}

/* ---- ICMP ---- */

static napi_value icmp(napi_env env, napi_callback_info info) {
  struct call c;
  struct icmp_request q;
  char path[PATH_SIZE];
  int32_t family;
  char address[INET6_ADDRSTRLEN];
  if (!begin(env, info, &c)) return NULL;
  memset(&q, 0, sizeof q);
  if (!get_path(&c, 0, path, &q.netns)) return bad(&c, "icmp: netns");
  if (!get_i32(&c, 1, &family) || (family != 4 && family != 6)) return bad(&c, "icmp: family");
  if (!get_string(&c, 2, address, sizeof address)) return bad(&c, "icmp: address");
  if (inet_pton(family == 6 ? AF_INET6 : AF_INET, address, q.address) != 1) return bad(&c, "icmp: address");
  if (!get_string(&c, 3, q.device, IFNAMSIZ)) return bad(&c, "icmp: device");
  q.family = family;
  icmp_open(&q);
  int32_t handle = -1;
  if (q.outcome.error == 0 && (handle = handle_new(c.at, SOCKET, q.fd)) < 0) {
    q.outcome = (struct outcome){STEP_MEMORY, ENOMEM};
  }
  napi_value object = result_object(&c, q.outcome);
  if (object == NULL || handle < 0) return object;
  set(&c, object, "handle", integer(&c, handle));
  set(&c, object, "fd", integer(&c, q.fd));
  set(&c, object, "raw", boolean(&c, q.raw));
  return object;
}

static napi_value transfer(napi_env env, napi_callback_info info, bool out) {
  struct call c;
  uint8_t *bytes;
  size_t size;
  if (!begin(env, info, &c)) return NULL;
  struct handle *h = get_handle(&c, SOCKET);
  if (h == NULL || !get_bytes(&c, 1, 1, &bytes, &size)) return bad(&c, "socket");
  ssize_t n;
  do n = out ? send(h->fd, bytes, size, MSG_NOSIGNAL) : recv(h->fd, bytes, size, 0);
  while (n < 0 && errno == EINTR);
  return integer(&c, n < 0 ? -errno : (int32_t)n);
}

static napi_value send_message(napi_env env, napi_callback_info info) {
  return transfer(env, info, true);
}

static napi_value receive_message(napi_env env, napi_callback_info info) {
  return transfer(env, info, false);
}

/* ---- Files ---- */

static napi_value lock_file(napi_env env, napi_callback_info info) {
  struct call c;
  int32_t fd;
  int error;
  if (!begin(env, info, &c)) return NULL;
  if (!get_i32(&c, 0, &fd) || fd < 0) return bad(&c, "lockFile");
  do error = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  while (error == EINTR);
  return integer(&c, error);
}

/* ---- Namespaces ---- */

static napi_value make_netns(napi_env env, napi_callback_info info) {
  struct call c;
  char path[PATH_SIZE];
  if (!begin(env, info, &c)) return NULL;
  if (!get_string(&c, 0, path, sizeof path)) return bad(&c, "makeNetns");
  return integer(&c, netns_make(path));
}

static napi_value remove_netns(napi_env env, napi_callback_info info) {
  struct call c;
  char path[PATH_SIZE];
  const char *given = NULL;
  if (!begin(env, info, &c)) return NULL;
  if (!get_path(&c, 0, path, &given) || given == NULL) return bad(&c, "removeNetns");
  return integer(&c, netns_remove(given));
}

static napi_value find_interface(napi_env env, napi_callback_info info) {
  struct call c;
  char path[PATH_SIZE], device[IFNAMSIZ] = {0};
  if (!begin(env, info, &c)) return NULL;
  if (!get_string(&c, 0, path, sizeof path)) return bad(&c, "interfaceIndex: netns");
  if (!get_string(&c, 1, device, sizeof device)) return bad(&c, "interfaceIndex: device");
  return integer(&c, interface_index(path, device));
}

/* configure(netns, keys, messages, result): `result` gets how many messages were taken, and an errno. */
static napi_value configure_netns(napi_env env, napi_callback_info info) {
  struct call c;
  struct configure_request q;
  char path[PATH_SIZE], keys[PATH_SIZE];
  uint8_t *messages;
  int32_t *result;
  if (!begin(env, info, &c)) return NULL;
  memset(&q, 0, sizeof q);
  if (!get_string(&c, 0, path, sizeof path)) return bad(&c, "configure: netns");
  if (!get_string(&c, 1, keys, sizeof keys)) return bad(&c, "configure: keys");
  if (!get_bytes(&c, 2, 0, &messages, &q.size) || (uintptr_t)messages % 4 != 0) return bad(&c, "configure: messages");
  if (!get_array(env, c.args[3], napi_int32_array, 2, &result, NULL)) return bad(&c, "configure: result");
  q.netns = path;
  q.keys = keys;
  q.messages = messages;
  configure(&q);
  result[0] = q.done;
  result[1] = q.error;
  return NULL;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"open", open_device},      {"bind", bind_pool},       {"read", read_batch},     {"write", write_batch},
      {"discard", discard_batch}, {"info", get_info},        {"setMac", set_mac},      {"setMtu", set_mtu},
      {"setUp", set_up},          {"setPersist", set_persist}, {"move", move},         {"check", check},
      {"close", close_handle},    {"waiter", waiter},        {"add", add_fd},          {"remove", remove_fd},
      {"errors", list_errors},    {"idle", idle},            {"watch", watch},         {"pause", pause_watch},
      {"openUdp", open_udp},      {"openPacket", open_packet}, {"icmp", icmp},             {"send", send_message},    {"receive", receive_message},
      {"lockFile", lock_file},    {"removeNetns", remove_netns}, {"makeNetns", make_netns}, {"closeAll", close_all},
      {"interfaceIndex", find_interface}, {"configure", configure_netns},
  };
  struct instance *at = instance_new();
  if (at == NULL || napi_set_instance_data(env, at, instance_free, NULL) != napi_ok) {
    free(at);
    napi_throw_error(env, "ENOMEM", "tun-tap: no memory");
    return NULL;
  }
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) {
      return NULL;
    }
  }
  return exports;
}
