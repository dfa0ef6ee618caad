-- SPDX-License-Identifier: GPL-2.0-or-later
-- The routing of test_srtp_policy.py from KEMI: the same as its native script.

local policy, site = KSR.srtp_policy, KSR.site_failover

local function value(name)
	return tostring(KSR.pv.get("$srtp_policy(" .. name .. ")"))
end

function ksr_request_route()
	if KSR.is_ACK() then
		return
	end
	if site.site_identify() < 0
			or site.site_service(KSR.pv.get("$site(ingress_service)") or KSR.pv.get("$hdr(X-Service)")) < 0
			or site.site_select(KSR.pv.get("$site(out_group)")) < 0 then
		KSR.sl.send_reply(403, "Unknown")
		return
	end
	local sender, verb, relayed, receiver = policy.srtp_policy_check("sender"), 0, 0, 0
	verb = policy.srtp_policy_flags(KSR.pv.get("$hdr(X-Verb)") or "offer")
	local flags = value("flags")
	if KSR.pv.get("$hdr(X-Relay)") and sender == 1 then
		relayed = KSR.rtpengine.rtpengine_offer(flags)
		receiver = policy.srtp_policy_check("receiver")
	end
	if KSR.pv.get("$hdr(X-Refuse)") then
		policy.srtp_policy_refuse()
		return
	end
	KSR.hdr.append_to_reply("X-Result: " .. sender .. " " .. verb .. " " .. relayed .. " " .. receiver .. "\r\n")
	KSR.hdr.append_to_reply("X-Flags: " .. flags .. "\r\n")
	KSR.hdr.append_to_reply("X-Decision: " .. value("code") .. " " .. value("reason") .. " " .. value("warning") .. "\r\n")
	KSR.sl.send_reply(480, "Done")
end
