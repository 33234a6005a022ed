/* Plug-ins: executors in C or C++, in a shared object that `millrace-worker --plugin FILE.so` takes in.
 *
 * A plug-in exports one function, millrace_plugin_describe(). Its code never runs inside the worker: the worker starts
 * `slots` processes for it, each of which serves one task at a time and stays warm. A crash is one failed task; a task
 * that is cancelled or timed out has its process killed. Standard output and error are the task's log.
 *
 * Promises: what the task gives out lives until run() returns. Functions of millrace_api are for the thread that run()
 * was called on. run() must call succeed() or fail() once; without either the task fails. A C++ exception that leaves
 * run() fails the task with its what(). Texts are UTF-8, values are JSON. Versions: MILLRACE_PLUGIN_ABI stands in the
 * description. A worker refuses any other than its own at its start, and says so. Within a version, millrace_api only
 * grows at its end.
 */
#ifndef MILLRACE_PLUGIN_H
#define MILLRACE_PLUGIN_H

#include <stddef.h>

#define MILLRACE_PLUGIN_ABI 1u

#ifdef __cplusplus
extern "C" {
#endif

typedef struct millrace_task millrace_task;

typedef struct millrace_api {
  unsigned abi;
  const char* (*with_json)(const millrace_task* task, size_t* size);   /* what the node's `with` says */
  const char* (*inputs_json)(const millrace_task* task, size_t* size); /* the run's inputs, an object */
  const char* (*output_json)(const millrace_task* task, const char* node,
                             size_t* size); /* NULL: not before this node */
  const char* (*node)(const millrace_task* task);
  const char* (*run)(const millrace_task* task);
  unsigned (*attempt)(const millrace_task* task);
  void (*progress)(millrace_task* task, const char* json, size_t size); /* an event for whoever watches */
  void (*succeed)(millrace_task* task, const char* json, size_t size);
  void (*fail)(millrace_task* task, const char* message, size_t size);
  const char* (*item_json)(const millrace_task* task, size_t* size); /* of a node with `foreach`; NULL elsewhere */
  size_t (*index)(const millrace_task* task);                        /* of the item, from 0 */
} millrace_api;

typedef struct millrace_executor {
  const char* name; /* like a node id; workflows declare it under `executors` */
  void (*run)(const millrace_api* api, millrace_task* task);
} millrace_executor;

typedef struct millrace_plugin {
  unsigned abi; /* MILLRACE_PLUGIN_ABI */
  const millrace_executor* executors;
  size_t executors_count;
} millrace_plugin;

__attribute__((visibility("default"))) const millrace_plugin* millrace_plugin_describe(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
