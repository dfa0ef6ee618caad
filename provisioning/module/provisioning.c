/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Kamailio module `provisioning`: the shared region, the supervisor of trunkgate-worker, and the operations as RPCs.
 *
 *   loadmodule "provisioning.so"
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <core/cfg/cfg_struct.h>
#include <core/dprint.h>
#include <core/pt.h>
#include <core/sr_module.h>

#include "call_variable.h"
#include "kamailio_compat.h"
#include "provisioning_api.h"
#include "provisioning_rpc.h"
#include "supervisor.h"

MODULE_VERSION

/* So long connections wait at most for the first publication; the worker takes about 0.1 s. */
enum { PUBLISH_MS = 2000, PUBLISH_STEP_MS = 5 };

static struct {
	char *store, *socket, *worker, *region, *nameservers;
	int region_size; /* MB; 0: region_size_default */
} params = {
	.store = "/var/lib/trunkgate/trunkgate.db",
	.socket = "/run/trunkgate/worker.sock",
	.worker = TRUNKGATE_WORKER,
	.region = "",
	.nameservers = "",
};

/* Set before the fork, so it is the same in every process. */
static struct {
	const struct region *region;
	int region_fd;
} state = {.region_fd = -1};

/* --- parameters --- */

static const param_export_t parameters[] = {
	{.name = "store", .type = PARAM_STRING, .param_pointer = &params.store},
	{.name = "socket", .type = PARAM_STRING, .param_pointer = &params.socket},
	{.name = "worker", .type = PARAM_STRING, .param_pointer = &params.worker},
	{.name = "region", .type = PARAM_STRING, .param_pointer = &params.region},
	{.name = "nameservers", .type = PARAM_STRING, .param_pointer = &params.nameservers},
	{.name = "region_size", .type = PARAM_INT, .param_pointer = &params.region_size},
	{},
};

/* --- for other modules --- */

static int bind_provisioning(struct provisioning_api *api)
{
	if (!state.region)
		return -1;
	*api = (struct provisioning_api){
		.region = state.region,
		.call = provisioning_call,
		.rpc = provisioning_rpc,
		.scan = provisioning_scan,
		.scan_limit = provisioning_scan_limit,
		.scan_end = provisioning_scan_end,
		.in_sip_worker = provisioning_in_sip_worker,
	};
	return 0;
}

static cmd_export_t commands[] = {
	{.name = "bind_provisioning", .function = (cmd_function)bind_provisioning, .param_no = NO_SCRIPT},
	{},
};

/* --- life --- */

/* A memfd is seen by the worker through its number; it is never opened by name, so nobody else can. */
static int region_create(void)
{
	size_t size = params.region_size > 0 ? (size_t)params.region_size << 20 : region_size_default;

	if (size < region_size_min) {
		LM_ERR("region_size %d MB is too small: at least %zu MB\n", params.region_size,
		       (region_size_min >> 20) + 1);
		return -1;
	}
	state.region_fd = memfd_create("trunkgate", MFD_CLOEXEC);
	if (state.region_fd < 0 || ftruncate(state.region_fd, (off_t)size) != 0) {
		LM_ERR("cannot make the shared region of %zu MB: %s\n", size >> 20, strerror(errno));
		return -1;
	}
	void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, state.region_fd, 0);
	if (memory == MAP_FAILED) {
		LM_ERR("cannot map the shared region of %zu MB: %s\n", size >> 20, strerror(errno));
		return -1;
	}
	madvise(memory, size, MADV_DONTDUMP);
	state.region = region_view(memory, size);
	return state.region ? 0 : -1;
}

/* With ctl's autoconversion a number written without s: arrives as other text, and nobody could tell. */
static void autoconversion_warn(void)
{
	sr_module_t *ctl = find_module_by_name("ctl");
	modparam_t type = PARAM_INT;
	int *on = ctl ? find_param_export(ctl, "autoconversion", PARAM_INT, &type) : NULL;

	if (on && *on)
		LM_WARN("ctl's parameter autoconversion is on: a number sent without s: loses zeros and signs "
			"unseen\n");
}

static int mod_init(void)
{
	if (region_create() != 0 || provisioning_rpc_init(params.socket) != 0)
		return -1;
	autoconversion_warn();
	register_procs(1);
	return 0;
}

/* The descriptor could be mapped for writing: only the supervisor keeps it. */
static void region_close(void)
{
	if (state.region_fd >= 0)
		close(state.region_fd);
	state.region_fd = -1;
}

/*
 * What comes over TCP nobody repeats: it waits in the listening sockets, which are read only after this. Datagrams are
 * read already.
 */
static void publication_await(void)
{
	for (int waited = 0; waited < PUBLISH_MS && !region_published(state.region); waited += PUBLISH_STEP_MS)
		usleep(PUBLISH_STEP_MS * 1000);
	if (!region_published(state.region))
		LM_WARN("nothing was published within %d ms: calls are refused until it is\n", PUBLISH_MS);
}

static int child_init(int rank)
{
	if (rank != PROC_MAIN) {
		if (rank != PROC_INIT) /* still the process that all others are forked from */
			region_close();
		return 0;
	}
	int parent = getpid();
	int pid = fork_process(PROC_NOCHLDINIT, "trunkgate supervisor", 0);
	if (pid < 0) {
		LM_ERR("cannot start the supervisor\n");
		return -1;
	}
	if (pid == 0)
		supervisor_run(&(struct supervisor){.worker = params.worker,
						    .store = params.store,
						    .socket = params.socket,
						    .region = params.region,
						    .nameservers = params.nameservers,
						    .region_fd = state.region_fd},
			       parent);
	region_close();
	publication_await();
	return 0;
}

struct module_exports exports = {
	.name = "provisioning",
	.dlflags = DEFAULT_DLFLAGS,
	.cmds = commands,
	.params = (param_export_t *)parameters,
	.pv_items = call_variables,
	.init_mod_f = mod_init,
	.init_child_f = child_init,
};
