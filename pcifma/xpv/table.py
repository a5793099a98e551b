"""Operation numbers of Xen's public interface, one row each.

Source: xen/include/public of the Xen project, releases 4.10 to 4.22 and the development tree of 2026-08. A row without `since` and
`until` is in all of them. Names are the header's constants without their prefix, in lower case. Numbers never change meaning but for the
few that appear twice, with disjoint releases.
"""

from pcifma.xpv.operation import Family, Ioctl, Nested, Operation

# xen/include/public/domctl.h: XEN_DOMCTL_*
_DOMCTL = (
    Operation(1, "createdomain"),
    Operation(2, "destroydomain"),
    Operation(3, "pausedomain"),
    Operation(4, "unpausedomain"),
    Operation(5, "getdomaininfo"),
    Operation(6, "getmemlist", until=10),
    Operation(9, "setvcpuaffinity"),
    Operation(10, "shadow_op"),
    Operation(11, "max_mem"),
    Operation(12, "setvcpucontext"),
    Operation(13, "getvcpucontext"),
    Operation(14, "getvcpuinfo"),
    Operation(15, "max_vcpus"),
    Operation(16, "scheduler_op"),
    Operation(17, "setdomainhandle"),
    Operation(18, "setdebugging"),
    Operation(19, "irq_permission"),
    Operation(20, "iomem_permission"),
    Operation(21, "ioport_permission"),
    Operation(22, "hypercall_init"),
    Operation(23, "arch_setup", until=11),
    Operation(23, "soft_reset_cont", since=12),
    Operation(24, "settimeoffset"),
    Operation(25, "getvcpuaffinity"),
    Operation(26, "real_mode_area"),
    Operation(27, "resumedomain"),
    Operation(28, "sendtrigger"),
    Operation(29, "subscribe"),
    Operation(33, "gethvmcontext"),
    Operation(34, "sethvmcontext"),
    Operation(35, "set_address_size"),
    Operation(36, "get_address_size"),
    Operation(37, "assign_device"),
    Operation(38, "bind_pt_irq"),
    Operation(39, "memory_mapping"),
    Operation(40, "ioport_mapping"),
    Operation(41, "pin_mem_cacheattr", until=10),
    Operation(42, "set_ext_vcpucontext"),
    Operation(43, "get_ext_vcpucontext"),
    Operation(44, "set_opt_feature"),
    Operation(45, "test_assign_device"),
    Operation(46, "set_target"),
    Operation(47, "deassign_device"),
    Operation(48, "unbind_pt_irq"),
    Operation(49, "set_cpuid", until=12),
    Operation(50, "get_device_group"),
    Operation(51, "set_machine_address_size", until=12),
    Operation(52, "get_machine_address_size", until=12),
    Operation(53, "suppress_spurious_page_faults", until=12),
    Operation(54, "debug_op"),
    Operation(55, "gethvmcontext_partial"),
    Operation(56, "vm_event_op"),
    Operation(57, "mem_sharing_op"),
    Operation(58, "disable_migrate", until=14),
    Operation(59, "gettscinfo"),
    Operation(60, "settscinfo"),
    Operation(61, "getpageframeinfo3"),
    Operation(62, "setvcpuextstate"),
    Operation(63, "getvcpuextstate"),
    Operation(64, "set_access_required"),
    Operation(65, "audit_p2m"),
    Operation(66, "set_virq_handler"),
    Operation(67, "set_broken_page_p2m"),
    Operation(68, "setnodeaffinity"),
    Operation(69, "getnodeaffinity"),
    Operation(70, "set_max_evtchn", until=11),
    Operation(71, "cacheflush"),
    Operation(72, "get_vcpu_msrs"),
    Operation(73, "set_vcpu_msrs"),
    Operation(74, "setvnumainfo"),
    Operation(75, "psr_cmt_op"),
    Operation(77, "monitor_op"),
    Operation(78, "psr_alloc", since=11),
    Operation(78, "psr_cat_op", until=10),
    Operation(79, "soft_reset"),
    Operation(80, "set_gnttab_limits", until=11),
    Operation(81, "vuart_op"),
    Operation(82, "get_cpu_policy", since=12),
    Operation(83, "set_cpu_policy", since=13),
    Operation(84, "vmtrace_op", since=15),
    Operation(85, "get_paging_mempool_size", since=17),
    Operation(86, "set_paging_mempool_size", since=17),
    Operation(87, "dt_overlay", since=19),
    Operation(88, "gsi_permission", since=20),
    Operation(89, "set_llc_colors", since=20),
    Operation(90, "get_domain_state", since=21),
    Operation(1000, "gdbsx_guestmemio"),
    Operation(1001, "gdbsx_pausevcpu"),
    Operation(1002, "gdbsx_unpausevcpu"),
    Operation(1003, "gdbsx_domstatus"),
)

# xen/include/public/sysctl.h: XEN_SYSCTL_*
_SYSCTL = (
    Operation(1, "readconsole"),
    Operation(2, "tbuf_op"),
    Operation(3, "physinfo"),
    Operation(4, "sched_id"),
    Operation(5, "perfc_op"),
    Operation(6, "getdomaininfolist"),
    Operation(7, "debug_keys"),
    Operation(8, "getcpuinfo"),
    Operation(9, "availheap"),
    Operation(10, "get_pmstat"),
    Operation(11, "cpu_hotplug"),
    Operation(12, "pm_op"),
    Operation(14, "page_offline_op"),
    Operation(15, "lockprof_op"),
    Operation(16, "cputopoinfo"),
    Operation(17, "numainfo"),
    Operation(18, "cpupool_op"),
    Operation(19, "scheduler_op"),
    Operation(20, "coverage_op", since=11),
    Operation(20, "gcov_op", until=10),
    Operation(21, "psr_cmt_op"),
    Operation(22, "pcitopoinfo"),
    Operation(23, "psr_alloc", since=11),
    Operation(23, "psr_cat_op", until=10),
    Operation(24, "tmem_op", until=12),
    Operation(25, "get_cpu_levelling_caps", until=21),
    Operation(26, "get_cpu_featureset"),
    Operation(27, "livepatch_op"),
    Operation(28, "set_parameter", until=13),
    Operation(29, "get_cpu_policy", since=12),
    Operation(30, "dt_overlay", since=18),
)

# xen/include/public/platform.h: XENPF_*
_PLATFORM_OP = (
    Operation(17, "settime32"),
    Operation(31, "add_memtype"),
    Operation(32, "del_memtype"),
    Operation(33, "read_memtype"),
    Operation(35, "microcode_update"),
    Operation(39, "platform_quirk"),
    Operation(48, "get_cpu_version"),
    Operation(49, "efi_runtime_call"),
    Operation(50, "firmware_info"),
    Operation(51, "enter_acpi_sleep"),
    Operation(52, "change_freq"),
    Operation(53, "getidletime"),
    Operation(54, "set_processor_pminfo"),
    Operation(55, "get_cpuinfo"),
    Operation(56, "cpu_online"),
    Operation(57, "cpu_offline"),
    Operation(58, "cpu_hotadd"),
    Operation(59, "mem_hotadd"),
    Operation(60, "core_parking"),
    Operation(61, "resource_op"),
    Operation(62, "settime64"),
    Operation(63, "get_symbol"),
    Operation(64, "get_dom0_console", since=18),
    Operation(65, "get_ucode_revision", since=18),
    Operation(66, "microcode_update2", since=20),
)

# xen/include/public/memory.h: sub-operations of XENMEM_access_op
_MEMORY_OP_ACCESS_OP = (
    Operation(0, "set_access"),
    Operation(1, "get_access"),
    Operation(4, "set_access_multi"),
)

# xen/include/public/memory.h: sub-operations of XENMEM_paging_op
_MEMORY_OP_PAGING_OP = (
    Operation(0, "nominate"),
    Operation(1, "evict"),
    Operation(2, "prep"),
)

# xen/include/public/memory.h: sub-operations of XENMEM_acquire_resource
_MEMORY_OP_ACQUIRE_RESOURCE = (
    Operation(0, "ioreq_server", since=11),
    Operation(1, "grant_table", since=12),
    Operation(2, "vmtrace_buf", since=15),
)

# xen/include/public/memory.h: sub-operations of XENMEM_sharing_op
_MEMORY_OP_SHARING_OP = (
    Operation(0, "nominate_gfn"),
    Operation(1, "nominate_gref"),
    Operation(2, "share"),
    Operation(3, "debug_gfn"),
    Operation(4, "debug_mfn"),
    Operation(5, "debug_gref"),
    Operation(6, "add_physmap"),
    Operation(7, "audit"),
    Operation(8, "range_share"),
    Operation(9, "fork", since=14),
    Operation(10, "fork_reset", since=14),
)

# xen/include/public/memory.h: XENMEM_*
_MEMORY_OP = (
    Operation(0, "increase_reservation"),
    Operation(1, "decrease_reservation"),
    Operation(2, "maximum_ram_page"),
    Operation(3, "current_reservation"),
    Operation(4, "maximum_reservation"),
    Operation(5, "machphys_mfn_list"),
    Operation(6, "populate_physmap"),
    Operation(7, "add_to_physmap"),
    Operation(9, "memory_map"),
    Operation(10, "machine_memory_map"),
    Operation(11, "exchange"),
    Operation(12, "machphys_mapping"),
    Operation(13, "set_memory_map"),
    Operation(14, "maximum_gpfn"),
    Operation(15, "remove_from_physmap"),
    Operation(16, "set_pod_target"),
    Operation(17, "get_pod_target"),
    Operation(18, "get_sharing_freed_pages"),
    Operation(19, "get_sharing_shared_pages"),
    Operation(20, "paging_op"),
    Operation(21, "access_op"),
    Operation(22, "sharing_op"),
    Operation(23, "add_to_physmap_batch"),
    Operation(24, "claim_pages"),
    Operation(25, "machphys_compat_mfn_list"),
    Operation(26, "get_vnumainfo"),
    Operation(27, "reserved_device_memory_map"),
    Operation(28, "acquire_resource", since=11),
)

# xen/include/public/event_channel.h: EVTCHNOP_*
_EVENT_CHANNEL_OP = (
    Operation(0, "bind_interdomain"),
    Operation(1, "bind_virq"),
    Operation(2, "bind_pirq"),
    Operation(3, "close"),
    Operation(4, "send"),
    Operation(5, "status"),
    Operation(6, "alloc_unbound"),
    Operation(7, "bind_ipi"),
    Operation(8, "bind_vcpu"),
    Operation(9, "unmask"),
    Operation(10, "reset"),
    Operation(11, "init_control"),
    Operation(12, "expand_array"),
    Operation(13, "set_priority"),
    Operation(14, "reset_cont", since=12),
)

# xen/include/public/xen.h: MMUEXT_*
_MMUEXT_OP = (
    Operation(0, "pin_l1_table"),
    Operation(1, "pin_l2_table"),
    Operation(2, "pin_l3_table"),
    Operation(3, "pin_l4_table"),
    Operation(4, "unpin_table"),
    Operation(5, "new_baseptr"),
    Operation(6, "tlb_flush_local"),
    Operation(7, "invlpg_local"),
    Operation(8, "tlb_flush_multi"),
    Operation(9, "invlpg_multi"),
    Operation(10, "tlb_flush_all"),
    Operation(11, "invlpg_all"),
    Operation(12, "flush_cache"),
    Operation(13, "set_ldt"),
    Operation(15, "new_user_baseptr"),
    Operation(16, "clear_page"),
    Operation(17, "copy_page"),
    Operation(18, "flush_cache_global"),
    Operation(19, "mark_super"),
    Operation(20, "unmark_super"),
)

# xen/include/public/physdev.h: PHYSDEVOP_*
_PHYSDEV_OP = (
    Operation(5, "irq_status_query"),
    Operation(6, "set_iopl"),
    Operation(7, "set_iobitmap"),
    Operation(8, "apic_read"),
    Operation(9, "apic_write"),
    Operation(10, "alloc_irq_vector"),
    Operation(11, "free_irq_vector"),
    Operation(12, "eoi"),
    Operation(13, "map_pirq"),
    Operation(14, "unmap_pirq"),
    Operation(15, "manage_pci_add"),
    Operation(16, "manage_pci_remove"),
    Operation(17, "pirq_eoi_gmfn_v1"),
    Operation(19, "restore_msi"),
    Operation(20, "manage_pci_add_ext"),
    Operation(21, "setup_gsi"),
    Operation(23, "get_free_pirq"),
    Operation(24, "pci_mmcfg_reserved"),
    Operation(25, "pci_device_add"),
    Operation(26, "pci_device_remove"),
    Operation(27, "restore_msi_ext"),
    Operation(28, "pirq_eoi_gmfn_v2"),
    Operation(29, "dbgp_op"),
    Operation(30, "prepare_msix"),
    Operation(31, "release_msix"),
    Operation(32, "pci_device_reset", since=20),
)

# xen/include/public/grant_table.h: GNTTABOP_*
_GRANT_TABLE_OP = (
    Operation(0, "map_grant_ref"),
    Operation(1, "unmap_grant_ref"),
    Operation(2, "setup_table"),
    Operation(3, "dump_table"),
    Operation(4, "transfer"),
    Operation(5, "copy"),
    Operation(6, "query_size"),
    Operation(7, "unmap_and_replace"),
    Operation(8, "set_version"),
    Operation(9, "get_status_frames"),
    Operation(10, "get_version"),
    Operation(11, "swap_grant_ref"),
    Operation(12, "cache_flush"),
)

# xen/include/public/sched.h: SCHEDOP_*
_SCHED_OP = (
    Operation(0, "yield"),
    Operation(1, "block"),
    Operation(2, "shutdown"),
    Operation(3, "poll"),
    Operation(4, "remote_shutdown"),
    Operation(5, "shutdown_code"),
    Operation(6, "watchdog"),
    Operation(7, "pin_override"),
)

# xen/include/public/xsm/flask_op.h: FLASK_*
_XSM_OP = (
    Operation(1, "load"),
    Operation(2, "getenforce"),
    Operation(3, "setenforce"),
    Operation(4, "context_to_sid"),
    Operation(5, "sid_to_context"),
    Operation(6, "access"),
    Operation(7, "create"),
    Operation(8, "relabel"),
    Operation(9, "user"),
    Operation(10, "policyvers"),
    Operation(11, "getbool"),
    Operation(12, "setbool"),
    Operation(13, "commitbools"),
    Operation(14, "mls"),
    Operation(15, "disable"),
    Operation(16, "getavc_threshold"),
    Operation(17, "setavc_threshold"),
    Operation(18, "avc_hashstats"),
    Operation(19, "avc_cachestats"),
    Operation(20, "member"),
    Operation(21, "add_ocontext"),
    Operation(22, "del_ocontext"),
    Operation(23, "get_peer_sid"),
    Operation(24, "relabel_domain"),
    Operation(25, "devicetree_label"),
)

# xen/include/public/hvm/hvm_op.h: sub-operations of HVMOP_altp2m
_HVM_OP_ALTP2M = (
    Operation(1, "get_domain_state"),
    Operation(2, "set_domain_state"),
    Operation(3, "vcpu_enable_notify"),
    Operation(4, "create_p2m"),
    Operation(5, "destroy_p2m"),
    Operation(6, "switch_p2m"),
    Operation(7, "set_mem_access"),
    Operation(8, "change_gfn"),
    Operation(9, "set_mem_access_multi", since=11),
    Operation(10, "set_suppress_ve", since=12),
    Operation(11, "get_suppress_ve", since=12),
    Operation(12, "get_mem_access", since=12),
    Operation(13, "vcpu_disable_notify", since=12),
    Operation(14, "get_p2m_idx", since=13),
    Operation(15, "set_suppress_ve_multi", since=14),
    Operation(16, "set_visibility", since=14),
)

# xen/include/public/hvm/hvm_op.h: HVMOP_*
_HVM_OP = (
    Operation(0, "set_param"),
    Operation(1, "get_param"),
    Operation(2, "set_pci_intx_level"),
    Operation(3, "set_isa_irq_level"),
    Operation(4, "set_pci_link_route"),
    Operation(5, "flush_tlbs"),
    Operation(9, "pagetable_dying"),
    Operation(10, "get_time"),
    Operation(11, "xentrace"),
    Operation(12, "set_mem_access"),
    Operation(13, "get_mem_access"),
    Operation(15, "get_mem_type"),
    Operation(23, "set_evtchn_upcall_vector"),
    Operation(24, "guest_request_vm_event"),
    Operation(25, "altp2m"),
)

# xen/include/public/version.h: XENVER_*
_XEN_VERSION = (
    Operation(0, "version"),
    Operation(1, "extraversion"),
    Operation(2, "compile_info"),
    Operation(3, "capabilities"),
    Operation(4, "changeset"),
    Operation(5, "platform_parameters"),
    Operation(6, "get_features"),
    Operation(7, "pagesize"),
    Operation(8, "guest_handle"),
    Operation(9, "commandline"),
    Operation(10, "build_id"),
    Operation(11, "extraversion2", since=20),
    Operation(12, "capabilities2", since=20),
    Operation(13, "changeset2", since=20),
    Operation(14, "commandline2", since=20),
)

# xen/include/public/hvm/dm_op.h: XEN_DMOP_*
_DM_OP = (
    Operation(1, "create_ioreq_server"),
    Operation(2, "get_ioreq_server_info"),
    Operation(3, "map_io_range_to_ioreq_server"),
    Operation(4, "unmap_io_range_from_ioreq_server"),
    Operation(5, "set_ioreq_server_state"),
    Operation(6, "destroy_ioreq_server"),
    Operation(7, "track_dirty_vram"),
    Operation(8, "set_pci_intx_level"),
    Operation(9, "set_isa_irq_level"),
    Operation(10, "set_pci_link_route"),
    Operation(11, "modified_memory"),
    Operation(12, "set_mem_type"),
    Operation(13, "inject_event"),
    Operation(14, "inject_msi"),
    Operation(15, "map_mem_type_to_ioreq_server"),
    Operation(16, "remote_shutdown"),
    Operation(17, "relocate_memory", since=11),
    Operation(18, "pin_memory_cacheattr", since=11),
    Operation(19, "set_irq_level", since=15),
    Operation(20, "nr_vcpus", since=15),
)

# xen/include/public/arch-x86/xen-mca.h: XEN_MC_*
_MCA = (
    Operation(1, "fetch"),
    Operation(2, "notifydomain"),
    Operation(3, "physcpuinfo"),
    Operation(4, "msrinject"),
    Operation(5, "mceinject"),
    Operation(6, "inject_v2"),
)

# xen/include/public/vcpu.h: VCPUOP_*
_VCPU_OP = (
    Operation(0, "initialise"),
    Operation(1, "up"),
    Operation(2, "down"),
    Operation(3, "is_up"),
    Operation(4, "get_runstate_info"),
    Operation(5, "register_runstate_memory_area"),
    Operation(6, "set_periodic_timer"),
    Operation(7, "stop_periodic_timer"),
    Operation(8, "set_singleshot_timer"),
    Operation(9, "stop_singleshot_timer"),
    Operation(10, "register_vcpu_info"),
    Operation(11, "send_nmi"),
    Operation(12, "get_physid"),
    Operation(13, "register_vcpu_time_memory_area"),
    Operation(14, "register_runstate_phys_area", since=18),
    Operation(15, "register_vcpu_time_phys_area", since=18),
)

# xen/include/public/kexec.h: KEXEC_CMD_*
_KEXEC_OP = (
    Operation(0, "kexec"),
    Operation(1, "kexec_load_v1"),
    Operation(2, "kexec_unload_v1"),
    Operation(3, "kexec_get_range"),
    Operation(4, "kexec_load"),
    Operation(5, "kexec_unload"),
    Operation(6, "kexec_status"),
)

# xen/include/public/callback.h: CALLBACKOP_*
_CALLBACK_OP = (
    Operation(0, "register"),
    Operation(1, "unregister"),
)

# xen/include/public/nmi.h: XENNMI_*
_NMI_OP = (
    Operation(0, "register_callback"),
    Operation(1, "unregister_callback"),
)

# xen/include/public/xen.h: CONSOLEIO_*
_CONSOLE_IO = (
    Operation(0, "write"),
    Operation(1, "read"),
)

# xen/include/public/xen.h: VMASST_CMD_*
_VM_ASSIST = (
    Operation(0, "enable"),
    Operation(1, "disable"),
)

# xen/include/public/pmu.h: XENPMU_*
_XENPMU_OP = (
    Operation(0, "mode_get"),
    Operation(1, "mode_set"),
    Operation(2, "feature_get"),
    Operation(3, "feature_set"),
    Operation(4, "init"),
    Operation(5, "finish"),
    Operation(6, "lvtpc_set"),
    Operation(7, "flush"),
)

# xen/include/public/argo.h: XEN_ARGO_OP_*
_ARGO_OP = (
    Operation(1, "register_ring", since=12),
    Operation(2, "unregister_ring", since=12),
    Operation(3, "sendv", since=12),
    Operation(4, "notify", since=12),
)

# xen/include/public/hypfs.h: XEN_HYPFS_OP_*
_HYPFS_OP = (
    Operation(0, "get_version", since=14),
    Operation(1, "read", since=14),
    Operation(2, "write_contents", since=14),
)

# xen/include/public/xenoprof.h: XENOPROF_*
_XENOPROF_OP = (
    Operation(0, "init"),
    Operation(1, "reset_active_list"),
    Operation(2, "reset_passive_list"),
    Operation(3, "set_active"),
    Operation(4, "set_passive"),
    Operation(5, "reserve_counters"),
    Operation(6, "counter"),
    Operation(7, "setup_events"),
    Operation(8, "enable_virq"),
    Operation(9, "start"),
    Operation(10, "stop"),
    Operation(11, "disable_virq"),
    Operation(12, "release_counters"),
    Operation(13, "shutdown"),
    Operation(14, "get_buffer"),
    Operation(15, "set_backtrace"),
    Operation(16, "get_ibs_caps"),
    Operation(17, "ibs_counter"),
)

# xen/include/public/xen.h: __HYPERVISOR_*; 48 is arch_0, which x86 gives to mca.
HYPERCALLS = (
    Operation(0, "set_trap_table"),
    Operation(1, "mmu_update"),
    Operation(2, "set_gdt"),
    Operation(3, "stack_switch"),
    Operation(4, "set_callbacks"),
    Operation(5, "fpu_taskswitch"),
    Operation(6, "sched_op_compat"),
    Operation(7, "platform_op"),
    Operation(8, "set_debugreg"),
    Operation(9, "get_debugreg"),
    Operation(10, "update_descriptor"),
    Operation(12, "memory_op"),
    Operation(13, "multicall"),
    Operation(14, "update_va_mapping"),
    Operation(15, "set_timer_op"),
    Operation(16, "event_channel_op_compat"),
    Operation(17, "xen_version"),
    Operation(18, "console_io"),
    Operation(19, "physdev_op_compat"),
    Operation(20, "grant_table_op"),
    Operation(21, "vm_assist"),
    Operation(22, "update_va_mapping_otherdomain"),
    Operation(23, "iret"),
    Operation(24, "vcpu_op"),
    Operation(25, "set_segment_base"),
    Operation(26, "mmuext_op"),
    Operation(27, "xsm_op"),
    Operation(28, "nmi_op"),
    Operation(29, "sched_op"),
    Operation(30, "callback_op"),
    Operation(31, "xenoprof_op"),
    Operation(32, "event_channel_op"),
    Operation(33, "physdev_op"),
    Operation(34, "hvm_op"),
    Operation(35, "sysctl"),
    Operation(36, "domctl"),
    Operation(37, "kexec_op"),
    Operation(38, "tmem_op"),
    Operation(39, "argo_op", since=12),
    Operation(39, "xc_reserved_op", until=11),
    Operation(40, "xenpmu_op"),
    Operation(41, "dm_op"),
    Operation(42, "hypfs_op", since=14),
    Operation(48, "mca"),
    Operation(49, "arch_1"),
    Operation(50, "arch_2"),
    Operation(51, "arch_3"),
    Operation(52, "arch_4"),
    Operation(53, "arch_5"),
    Operation(54, "arch_6"),
    Operation(55, "arch_7"),
)

FAMILIES = (
    Family("domctl", 36, "header", "XEN_DOMCTL_", "domctl.h", _DOMCTL),
    Family("sysctl", 35, "header", "XEN_SYSCTL_", "sysctl.h", _SYSCTL),
    Family("platform_op", 7, "header", "XENPF_", "platform.h", _PLATFORM_OP),
    Family(
        "memory_op",
        12,
        "a0",
        "XENMEM_",
        "memory.h",
        _MEMORY_OP,
        (
            Nested("access_op", 21, 0, 1, _MEMORY_OP_ACCESS_OP),
            Nested("paging_op", 20, 0, 1, _MEMORY_OP_PAGING_OP),
            Nested("acquire_resource", 28, 2, 2, _MEMORY_OP_ACQUIRE_RESOURCE, prefix="resource_"),
            Nested("sharing_op", 22, 0, 1, _MEMORY_OP_SHARING_OP),
        ),
    ),
    Family("event_channel_op", 32, "a0", "EVTCHNOP_", "event_channel.h", _EVENT_CHANNEL_OP),
    Family("mmuext_op", 26, "header", "MMUEXT_", "xen.h", _MMUEXT_OP),
    Family("physdev_op", 33, "a0", "PHYSDEVOP_", "physdev.h", _PHYSDEV_OP),
    Family("grant_table_op", 20, "a0", "GNTTABOP_", "grant_table.h", _GRANT_TABLE_OP),
    Family("sched_op", 29, "a0", "SCHEDOP_", "sched.h", _SCHED_OP),
    Family("xsm_op", 27, "header", "FLASK_", "xsm/flask_op.h", _XSM_OP),
    Family(
        "hvm_op",
        34,
        "a0",
        "HVMOP_",
        "hvm/hvm_op.h",
        _HVM_OP,
        (Nested("altp2m", 25, 4, 4, _HVM_OP_ALTP2M),),
    ),
    Family("xen_version", 17, "a0", "XENVER_", "version.h", _XEN_VERSION),
    Family("dm_op", 41, "buffer", "XEN_DMOP_", "hvm/dm_op.h", _DM_OP),
    Family("mca", 48, "header", "XEN_MC_", "arch-x86/xen-mca.h", _MCA),
    Family("vcpu_op", 24, "a0", "VCPUOP_", "vcpu.h", _VCPU_OP),
    Family("kexec_op", 37, "a0", "KEXEC_CMD_", "kexec.h", _KEXEC_OP),
    Family("callback_op", 30, "a0", "CALLBACKOP_", "callback.h", _CALLBACK_OP),
    Family("nmi_op", 28, "a0", "XENNMI_", "nmi.h", _NMI_OP),
    Family("console_io", 18, "a0", "CONSOLEIO_", "xen.h", _CONSOLE_IO),
    Family("vm_assist", 21, "a0", "VMASST_CMD_", "xen.h", _VM_ASSIST),
    Family("xenpmu_op", 40, "a0", "XENPMU_", "pmu.h", _XENPMU_OP),
    Family("argo_op", 39, "a0", "XEN_ARGO_OP_", "argo.h", _ARGO_OP),
    Family("hypfs_op", 42, "a0", "XEN_HYPFS_OP_", "hypfs.h", _HYPFS_OP),
    Family("xenoprof_op", 31, "a0", "XENOPROF_", "xenoprof.h", _XENOPROF_OP),
)

# include/uapi/xen/privcmd.h of Linux 6.12, numbers as its macros give them; the last is only in Xen's own copy of the header.
IOCTLS = (
    Ioctl(0x00305000, "hypercall", "hypercall"),
    Ioctl(0x00105002, "mmap", "mmap"),
    Ioctl(0x00185003, "mmapbatch", "mmapbatch"),
    Ioctl(0x00205004, "mmapbatch_v2", "mmapbatch"),
    Ioctl(0x00105005, "dm_op", "dm_op"),
    Ioctl(0x00025006, "restrict", "restrict"),
    Ioctl(0x00205007, "mmap_resource", "mmap_resource"),
    Ioctl(0x40185008, "irqfd", "irqfd"),
    Ioctl(0x40305009, "ioeventfd", "ioeventfd"),
    Ioctl(0x0008500A, "pcidev_get_gsi", "pcidev_get_gsi"),
    Ioctl(0x000050FF, "unimplemented", "unimplemented"),
)
