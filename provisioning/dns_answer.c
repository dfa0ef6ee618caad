/* SPDX-License-Identifier: GPL-2.0-or-later */
/** DNS messages by ns_initparse() and ns_parserr(), which every version of the platform has. */
#include "dns_answer.h"

#include <arpa/nameser.h>
#include <string.h>

enum { NONE_TTL_S = 30, SRV_FIXED = 6, SOA_MINIMUM = 4 };

/* What is made of a record. */
enum verdict { RECORD_TAKEN, RECORD_UNUSABLE, RECORD_REFUSES };

static enum verdict address_take(const ns_rr *rr, struct record *record)
{
	static const uint8_t ipv4[12] = {[10] = 0xff, [11] = 0xff};

	if (ns_rr_type(*rr) == ns_t_a && ns_rr_rdlen(*rr) == 4) {
		memcpy(record->address, ipv4, sizeof(ipv4));
		memcpy(record->address + sizeof(ipv4), ns_rr_rdata(*rr), 4);
	} else if (ns_rr_type(*rr) == ns_t_aaaa && ns_rr_rdlen(*rr) == 16) {
		memcpy(record->address, ns_rr_rdata(*rr), 16);
		if (memcmp(record->address, ipv4, sizeof(ipv4)) == 0)
			return RECORD_UNUSABLE;
	} else {
		return RECORD_UNUSABLE;
	}
	return address_fault(record->address) ? RECORD_UNUSABLE : RECORD_TAKEN;
}

static bool host_usable(const char *name)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	return name[0] != '.' && name[length] == '\0';
}

/* RFC 2782: a host of "." says that there is no such service. */
static enum verdict service_take(const ns_msg *message, const ns_rr *rr, struct record *record)
{
	const unsigned char *data = ns_rr_rdata(*rr);

	if (ns_rr_rdlen(*rr) <= SRV_FIXED)
		return RECORD_UNUSABLE;
	record->priority = (uint16_t)ns_get16(data);
	record->weight = (uint16_t)ns_get16(data + 2);
	record->port = (uint16_t)ns_get16(data + 4);
	if (ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), data + SRV_FIXED, record->name,
			       sizeof(record->name)) < 0)
		return RECORD_UNUSABLE;
	if (record->name[0] == '\0' || strcmp(record->name, ".") == 0)
		return RECORD_REFUSES;
	return record->port && host_usable(record->name) ? RECORD_TAKEN : RECORD_UNUSABLE;
}

/* RFC 2308 section 5: the time of what is not there is the lesser of the SOA's own and its last field. */
static uint32_t none_ttl(ns_msg *message)
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*message, ns_s_ns); i++) {
		if (ns_parserr(message, ns_s_ns, i, &rr) != 0 || ns_rr_type(rr) != ns_t_soa ||
		    ns_rr_rdlen(rr) < SOA_MINIMUM)
			continue;
		uint32_t minimum = (uint32_t)ns_get32(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - SOA_MINIMUM);
		return minimum < ns_rr_ttl(rr) ? minimum : ns_rr_ttl(rr);
	}
	return NONE_TTL_S;
}

static void failed(struct answer *answer, const char *reason)
{
	*answer = (struct answer){.kind = ANSWER_FAILED, .reason = reason};
}

static bool answers_read(ns_msg *message, enum record_type type, struct record *records, struct answer *answer,
			 enum verdict *last)
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
		if (ns_parserr(message, ns_s_an, i, &rr) != 0)
			return false;
		if (ns_rr_ttl(rr) < answer->ttl_s) /* that of an alias counts too */
			answer->ttl_s = ns_rr_ttl(rr);
		if ((int)ns_rr_type(rr) != (int)type || ns_rr_class(rr) != ns_c_in ||
		    answer->count == RESOLUTION_ANSWER_MAX)
			continue;
		struct record *record = &records[answer->count];
		*record = (struct record){0};
		*last = type == RECORD_SRV ? service_take(message, &rr, record) : address_take(&rr, record);
		if (*last == RECORD_TAKEN)
			answer->count++;
	}
	return true;
}

void dns_answer_read(const unsigned char *bytes, size_t length, enum record_type type,
		     struct record records[RESOLUTION_ANSWER_MAX], struct answer *answer)
{
	enum verdict last = RECORD_TAKEN;
	ns_msg message;

	*answer = (struct answer){.kind = ANSWER_RECORDS, .records = records, .ttl_s = UINT32_MAX};
	if (length > NS_MAXMSG || ns_initparse(bytes, (int)length, &message) != 0 ||
	    !answers_read(&message, type, records, answer, &last)) {
		failed(answer, "the answer is damaged");
		return;
	}
	if (answer->count > 0)
		return;
	if (last == RECORD_REFUSES)
		failed(answer, "the service is not offered there");
	else if (last == RECORD_UNUSABLE)
		failed(answer, "the answer holds nothing that can be called");
	else
		*answer = (struct answer){
			.kind = ANSWER_NONE, .ttl_s = none_ttl(&message), .reason = "there are no such records"};
}
