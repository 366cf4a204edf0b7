/*
 * What is open. JavaScript gets a small number for everything it opens, and every call looks it up here: a number that is
 * stale or made up finds nothing, where a pointer would crash. When the thread's environment ends - a worker that is
 * terminated - whatever is left is closed, so that no descriptor outlives it.
 *
 * Whoever waits for a TAP must know a number of its descriptor, and may close it by mistake - after which the kernel gives
 * that number to the next file that is opened, another TAP perhaps. So there are two numbers of one open file:
 *
 *     shown   the owner's, to wait for; asked whether it is still the same file before it is closed
 *     fd      ours: reads, writes and ioctls, which reach this device and no other whatever became of `shown`
 */
#include "tun-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct instance *instance_new(void) {
  return calloc(1, sizeof(struct instance));
}

int32_t handle_new(struct instance *at, enum kind kind, int fd) {
  uint32_t i = 0;
  while (i < at->size && at->table[i] != NULL) i++;
  if (i == at->size) {
    uint32_t size = at->size == 0 ? 16 : at->size * 2;
    struct handle **table = realloc(at->table, size * sizeof *table);
    if (table == NULL) {
      close(fd);
      return -1;
    }
    memset(table + at->size, 0, (size - at->size) * sizeof *table);
    at->table = table;
    at->size = size;
  }
  struct handle *h = calloc(1, sizeof *h);
  if (h == NULL) {
    close(fd);
    return -1;
  }
  h->kind = kind;
  h->fd = fd;
  h->shown = -1;
  at->table[i] = h;
  return (int32_t)i;
}

struct handle *handle_get(struct instance *at, uint32_t number, enum kind kind) {
  if (at == NULL || number >= at->size || at->table[number] == NULL) return NULL;
  return at->table[number]->kind == kind ? at->table[number] : NULL;
}

bool handle_show(struct handle *h) {
  const int own = fcntl(h->fd, F_DUPFD_CLOEXEC, h->fd + 1);
  if (own < 0) return false;
  h->shown = h->fd;
  h->fd = own;
  return true;
}

/* What TUNGETIFF and TUNGETDEVNETNS say of a descriptor: which device it is a queue of. */
struct device_at {
  int error;
  char name[IFNAMSIZ];
  dev_t dev;
  ino_t ns;
};

static struct device_at device_at(int fd) {
  struct device_at d;
  struct ifreq ifr = {0};
  struct stat s;
  memset(&d, 0, sizeof d);
  if (ioctl(fd, TUNGETIFF, &ifr) != 0) {
    d.error = errno;
    return d;
  }
  memcpy(d.name, ifr.ifr_name, IFNAMSIZ);
  const int ns = ioctl(fd, TUNGETDEVNETNS);
  if (ns >= 0 && fstat(ns, &s) == 0) {
    d.dev = s.st_dev;
    d.ns = s.st_ino;
  }
  if (ns >= 0) close(ns);
  return d;
}

int handle_shown(const struct handle *h) {
  if (h->shown < 0) return 0;
  if (fcntl(h->shown, F_GETFD) < 0) return EBADF;
  const pid_t self = getpid();
  const long order = syscall(SYS_kcmp, self, self, KCMP_FILE, (long)h->shown, (long)h->fd);
  if (order >= 0) return order == 0 ? 0 : ENOTTY;
  /* No kcmp() in this kernel or sandbox. A socket has an inode of its own. Of TAPs, all of which are one file, the same device
   * will do, which takes another queue of it for ours. */
  struct stat a, b;
  if (fstat(h->shown, &a) != 0 || fstat(h->fd, &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino) return ENOTTY;
  if (S_ISSOCK(b.st_mode)) return 0;
  const struct device_at shown = device_at(h->shown), own = device_at(h->fd);
  const bool same = shown.error == own.error && memcmp(shown.name, own.name, IFNAMSIZ) == 0 && shown.dev == own.dev &&
                    shown.ns == own.ns;
  return same ? 0 : ENOTTY;
}

static void close_both(struct handle *h) {
  if (h->shown >= 0 && handle_shown(h) == 0) close(h->shown);
  close(h->fd);
}

/* Takes a handle out of the table; what it has open is left to do. */
static struct handle *take_out(napi_env env, struct instance *at, uint32_t number) {
  struct handle *h = at->table[number];
  at->table[number] = NULL;
  if (h->watch != NULL) watch_stop(h->watch);
  for (int i = 0; i < ARRAYS; i++) {
    if (h->pool.refs[i] != NULL) napi_delete_reference(env, h->pool.refs[i]);
  }
  return h;
}

static void end(struct handle *h) {
  close_both(h);
  udp_free(h->udp, false);
  free(h);
}

void handle_close(napi_env env, struct instance *at, uint32_t number) {
  end(take_out(env, at, number));
}

/* Handles that several threads close, each the next one. */
struct row {
  struct handle **handles;
  size_t count;
  size_t next;
};

enum { CLOSERS = 32 };

static void *close_next(void *arg) {
  struct row *row = arg;
  for (;;) {
    const size_t i = __atomic_fetch_add(&row->next, 1, __ATOMIC_RELAXED);
    if (i >= row->count) return NULL;
    end(row->handles[i]);
  }
}

void handle_close_all(napi_env env, struct instance *at, const uint32_t *numbers, size_t count) {
  struct row row = {.handles = calloc(count, sizeof(struct handle *)), .next = 0};
  pthread_t threads[CLOSERS];
  size_t started = 0;
  for (size_t i = 0; i < count; i++) {
    if (numbers[i] >= at->size || at->table[numbers[i]] == NULL) continue;
    struct handle *h = take_out(env, at, numbers[i]);
    if (row.handles == NULL) end(h);
    else row.handles[row.count++] = h;
  }
  while (started < CLOSERS && started + 1 < row.count && start_thread(&threads[started], close_next, &row) == 0) started++;
  if (row.handles != NULL) close_next(&row);
  for (size_t i = 0; i < started; i++) pthread_join(threads[i], NULL);
  free(row.handles);
}

void instance_free(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct instance *at = data;
  for (uint32_t i = 0; i < at->size; i++) {
    if (at->table[i] == NULL) continue;
    /* References and the watch belong to the environment, which has ended them by now. */
    close_both(at->table[i]);
    udp_free(at->table[i]->udp, false);
    free(at->table[i]);
  }
  free(at->table);
  free(at);
}
