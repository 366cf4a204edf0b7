/*
 * What is open. JavaScript gets a small number for everything it opens, and every call looks it up here: a number that is
 * stale or made up finds nothing, where a pointer would crash. When the thread's environment ends - a worker that is
 * terminated - whatever is left is closed, so that no descriptor outlives it.
 */
#include "tun-tap.h"

#include <stdlib.h>
#include <string.h>
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
  at->table[i] = h;
  return (int32_t)i;
}

struct handle *handle_get(struct instance *at, uint32_t number, enum kind kind) {
  if (at == NULL || number >= at->size || at->table[number] == NULL) return NULL;
  return at->table[number]->kind == kind ? at->table[number] : NULL;
}

void handle_close(napi_env env, struct instance *at, uint32_t number, bool keep_fd) {
  struct handle *h = at->table[number];
  at->table[number] = NULL;
  if (h->watch != NULL) watch_stop(h->watch);
  for (int i = 0; i < ARRAYS; i++) {
    if (h->tap.refs[i] != NULL) napi_delete_reference(env, h->tap.refs[i]);
  }
  if (!keep_fd) close(h->fd);
  free(h);
}

void instance_free(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct instance *at = data;
  for (uint32_t i = 0; i < at->size; i++) {
    if (at->table[i] == NULL) continue;
    /* References and the watch belong to the environment, which has ended them by now. */
    close(at->table[i]->fd);
    free(at->table[i]);
  }
  free(at->table);
  free(at);
}
