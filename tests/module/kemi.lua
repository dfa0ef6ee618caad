-- SPDX-License-Identifier: GPL-2.0-or-later
-- The routing of test_kemi.py: a whole call with our functions from KEMI, and no native script beside it.

local number, header, site = KSR.number_route, KSR.custom_header, KSR.site_failover

local variables = {
	"number(account)", "number(service)", "number(header)", "number(found)", "site(side)", "site(group)", "site(peer)",
	"site(site)", "site(direction)", "site(media)", "site(signalling)", "site(default_service)", "site(ingress_service)",
	"site(unprovisioned_service)", "site(out_group)", "site(out_peer)", "site(out_site)", "site(out_media)",
	"site(out_signalling)", "site(node)", "site(emergency)",
	"site(target)", "site(reason)",
}

-- All of them as one header line; $null is nil here.
local function values()
	local list = {}
	for i, name in ipairs(variables) do
		list[i] = name .. "=" .. tostring(KSR.pv.get("$" .. name))
	end
	return "X-Values: " .. table.concat(list, " ") .. "\r\n"
end

-- Our own answer names the function that refused and what it returned.
local function refuse(code, name, result)
	if not KSR.is_ACK() then
		KSR.sl.send_reply(code, name .. " " .. result)
	end
	KSR.x.exit()
end

local function next_peer()
	while site.site_next() > 0 do
		KSR.tm.t_on_branch("to_peer")
		KSR.tm.t_on_reply("from_peer")
		KSR.tm.t_on_failure("failed")
		if KSR.tm.t_relay_to_flags(2) > 0 then
			KSR.x.exit()
		end
	end
end

local function within_dialog()
	if KSR.rr.loose_route() < 0 then
		if KSR.is_ACK() then
			KSR.tm.t_check_trans()
			KSR.x.exit()
		end
		refuse(481, "loose_route", -1)
	end
	local result = site.site_dialog()
	if result > 0 then
		header.custom_header_add()
		header.custom_header_local()
	elseif not KSR.is_method_in("B") or site.site_known_hop() < 0 then
		refuse(481, "site_dialog", result)
	end
	KSR.tm.t_on_reply("from_peer")
	KSR.tm.t_relay()
	KSR.x.exit()
end

-- Each in the wrong kind of route, and with nothing where a text should be.
local function misuse()
	return table.concat({
		site.site_retry(), site.site_late_answer(), site.site_refuse_answer(488, "x"), number.number_route(nil),
		site.site_service(nil), site.site_select(nil), site.site_known_hop(), site.site_answer_dialog(),
		site.site_end_dialog(488, "x"),
	}, " ")
end

function ksr_request_route()
	local result = site.site_identify()
	if result < 0 then
		refuse(403, "site_identify", result)
	end
	KSR.setflag(5)
	header.custom_header_remove()
	if KSR.is_CANCEL() then
		if KSR.tm.t_check_trans() > 0 then
			header.custom_header_local()
			KSR.tm.t_relay()
		end
		KSR.x.exit()
	end
	if KSR.siputils.has_totag() > 0 then
		within_dialog()
	end
	if KSR.is_MESSAGE() then
		refuse(200, "misuse", misuse())
	end
	KSR.tm.t_check_trans()

	if site.site_admits() < 0 then
		refuse(503, "site_admits", -1)
	end

	local to_service = KSR.pv.get("$site(direction)") == "to-service"
	if number.number_called() < 0 or number.number_calling() < 0 then
		refuse(404, "number_called", -1)
	end
	result = number.number_route(KSR.pv.get(to_service and "$tg(called)" or "$tg(calling)"))
	header.custom_header_local()
	if result < 0 then
		refuse(404, "number_route", result)
	end
	if KSR.pv.get("$rU") == "112" then
		site.site_emergency()
	end
	result = site.site_service(KSR.pv.get("$hdr(X-Service)") or KSR.pv.get("$number(service)"))
	if result < 0 then
		refuse(404, "site_service", result)
	end
	result = site.site_select(KSR.pv.get("$hdr(X-Group)") or KSR.pv.get("$site(out_group)"))
	if result < 0 then
		refuse(503, "site_select", result)
	end
	next_peer()
	refuse(503, "site_next", -1)
end

function to_peer()
	site.site_record_route()
	header.custom_header_add()
	KSR.hdr.append(values())
end

function from_peer()
	header.custom_header_remove()
	header.custom_header_add()
end

function failed()
	if KSR.tm.t_is_canceled() > 0 or site.site_retry() < 0 then
		return
	end
	next_peer()
	KSR.tm.t_reply(503, "site_next -1")
end

function ksr_reply_route()
	if site.site_late_answer() > 0 then
		KSR.x.drop()
	end
	if KSR.tm.t_check_trans() < 0 and site.site_answer_dialog() < 0 then
		KSR.x.drop()
	end
	if KSR.is_method_in("I") and site.site_request_flag(5) < 0 then
		KSR.x.drop()
	end
	if KSR.pv.get("$hdr(X-Refuse)") and site.site_refuse_answer(488, "Not Like This") > 0 then
		KSR.x.drop()
	end
end

function site_event(name)
	KSR.notice("told " .. name .. " " .. tostring(KSR.pv.get("$site(out_peer)")) .. "\n")
end
